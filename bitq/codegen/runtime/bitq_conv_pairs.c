#include "bitq.h"

/* Packs one row of the input, or padding if `bytes` is 0: what the first place of each pair reads into the low halves
 * of the words, what the second one reads into the high halves. Returns where the next row goes.
 *
 * The row is a few runs, in each of which either half comes from the input or is padding. Positions before the input
 * wrap to huge unsigned numbers. */
static uint32_t *pack(const bitq_pairs *layer, const uint8_t *row, uint32_t bytes, uint32_t *to)
{
    const uint32_t flip = layer->window.flip * UINT32_C(0x10001);
    const uint8_t zero = (uint8_t)(layer->window.zero ^ layer->window.flip);
    uint32_t at = 0u - (uint32_t)layer->window.left * layer->window.channels;
    uint32_t length = layer->length;
    do {
        const uint32_t behind = at + layer->apart;
        const uint32_t by_first = at < bytes ? 1u : 0u;
        const uint32_t by_second = behind < bytes ? 1u : 0u;
        const uint8_t *first = by_first != 0u ? row + at : &zero;
        const uint8_t *second = by_second != 0u ? row + behind : &zero;
        uint32_t run = (by_first != 0u ? bytes : 0u) - at;
        const uint32_t other = (by_second != 0u ? bytes : 0u) - behind;
        /* 0 stands for 2^32: nothing but padding follows. */
        run = run - 1u < other - 1u ? run : other;
        run = run - 1u < length - 1u ? run : length;
        at += run;
        length -= run;
        if ((by_first & by_second) != 0u) {
            while (run >= 4u) {
                to[0] = ((uint32_t)first[0] | ((uint32_t)second[0] << 16)) ^ flip;
                to[1] = ((uint32_t)first[1] | ((uint32_t)second[1] << 16)) ^ flip;
                to[2] = ((uint32_t)first[2] | ((uint32_t)second[2] << 16)) ^ flip;
                to[3] = ((uint32_t)first[3] | ((uint32_t)second[3] << 16)) ^ flip;
                to += 4;
                first += 4;
                second += 4;
                run -= 4u;
            }
        }
        while (run != 0u) {
            *to++ = ((uint32_t)*first | ((uint32_t)*second << 16)) ^ flip;
            first += by_first;
            second += by_second;
            --run;
        }
    } while (length != 0u);
    return to;
}

/* A convolution whose weights are code, at two places of a row at once, each in half of a word.
 *
 * Of each row of the output all inputs are packed before any of it is written, so the output may overwrite the input
 * where it never gets ahead of what is still to be read. Packed rows that the next window shares are moved.
 */
void bitq_conv_pairs(const bitq_pairs *layer, bitq_pair *pair, const uint8_t *x, uint32_t *rows, void *y)
{
    const uint32_t bytes = (uint32_t)layer->window.width * layer->window.channels;
    const uint32_t moved = (uint32_t)layer->window.stride_y * layer->length;
    const uint32_t *const end = rows + (uint32_t)layer->window.kernel_height * layer->length;
    uint32_t *next = rows;
    uint8_t *to = y;
    uint32_t line = 0u - layer->window.top;
    for (uint32_t out_y = layer->window.out_height; out_y != 0u; --out_y) {
        const uint32_t *from = rows;
        while (next != end) {
            const uint32_t inside = line < layer->window.height ? bytes : 0u;
            next = pack(layer, x + (inside != 0u ? line * bytes : 0u), inside, next);
            ++line;
        }
        for (uint32_t i = layer->count; i != 0u; --i) {
            pair(from, to, to + layer->second);
            from += layer->stride;
            to += layer->step;
        }
        to += layer->skip;
        next = rows;
        from = rows + moved;
        while (end - from >= 4) {
            next[0] = from[0];
            next[1] = from[1];
            next[2] = from[2];
            next[3] = from[3];
            next += 4;
            from += 4;
        }
        while (end - from > 0) {
            *next++ = *from++;
        }
        line += layer->gap;
    }
}
