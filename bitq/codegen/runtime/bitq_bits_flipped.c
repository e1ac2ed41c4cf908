#include "bitq.h"

/* The same for the caller's int8_t input, whose layers are large as a rule: always without an inner loop. */
void bitq_bits_flipped(const bitq_linear *layer, const uint8_t *x, uint32_t total, void *y)
{
    const uint8_t *weights = layer->weights;
    const uint32_t flip = bitq_hidden(0x80);
    for (uint32_t output = 0; output < layer->outputs; ++output) {
        const uint8_t *const end = weights + layer->row_bytes;
        const uint8_t *v = x;
        uint32_t sum = 0;
        for (;;) {
            sum = bitq_add_eight(sum, *weights++, v, flip);
            if (weights == end) {
                break;
            }
            v += 8;
        }
        bitq_finish(layer, output, sum + sum - total, y);
    }
}
