#include "bitq.h"

/* Packs one row of the input, or padding if `bytes` is 0: what the first place of each pair reads into the low halves
 * of the words, what the second one reads into the high halves. Returns where the next row goes.
 *
 * The row is a few runs, in each of which either half comes from the input or is padding. Positions before the input
 * wrap to huge unsigned numbers. */
uint32_t *bitq_pack_pairs(const bitq_pairs *layer, const uint8_t *row, uint32_t bytes, uint32_t *to)
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
