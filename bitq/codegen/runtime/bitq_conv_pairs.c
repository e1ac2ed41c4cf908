#include "bitq.h"

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
            next = bitq_pack_pairs(layer, x + (inside != 0u ? line * bytes : 0u), inside, next);
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
