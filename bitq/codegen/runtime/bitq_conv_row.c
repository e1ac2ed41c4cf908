#include "bitq.h"

/* A convolution whose weights are code and whose window is one row high, at two places at once, each in half of a
 * word.
 *
 * Where its windows share sums of four inputs, these are made of all packed words at once. The words lie behind half
 * of the room for the sums, which are made from the first word on and never overtake the words still to be read. */
void bitq_conv_row(const bitq_pairs *layer, bitq_pair *pair, const uint8_t *x, uint32_t *row, void *y)
{
    const uint32_t bytes = (uint32_t)layer->window.width * layer->window.channels;
    uint32_t *const words = row + 4u * (uint32_t)layer->sets;
    uint8_t *to = y;
    uint32_t line = 0u - layer->window.top;
    for (uint32_t out_y = layer->window.out_height; out_y != 0u; --out_y) {
        const uint32_t *from = row;
        const uint32_t inside = line < layer->window.height ? bytes : 0u;
        (void)bitq_pack_pairs(layer, x + (inside != 0u ? line * bytes : 0u), inside, words);
        bitq_sums(words, layer->sets, row);
        for (uint32_t i = layer->count; i != 0u; --i) {
            pair(from, to, to + layer->second);
            from += layer->stride;
            to += layer->step;
        }
        to += layer->skip;
        line += layer->window.stride_y;
    }
}
