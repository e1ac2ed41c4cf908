#include "bitq.h"

/* Weights of 1 bit, +1 where it is set, else -1; bit i of byte j belongs to input 8 * j + i. No byte is flipped. */
void bitq_bits(const bitq_linear *layer, const uint8_t *x, uint32_t total, void *y)
{
    const uint8_t *weights = layer->weights;
    for (uint32_t output = 0; output < layer->outputs; ++output) {
        const uint8_t *const end = weights + layer->row_bytes;
        const uint8_t *v = x;
        uint32_t sum = 0;
        for (;;) {
            sum = bitq_add_selected(sum, *weights++, v, 0);
            if (weights == end) {
                break;
            }
            v += 8;
        }
        bitq_finish(layer, output, sum + sum - total, y);
    }
}
