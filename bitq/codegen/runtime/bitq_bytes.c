#include "bitq.h"

/* Weights of 8 bits, stored as weight + 128. */
void bitq_bytes(const bitq_linear *layer, const uint8_t *x, uint32_t total, void *y)
{
    const uint8_t *weights = layer->weights;
    const uint32_t flip = layer->flip;
    const uint32_t offset = total * layer->offset;
    for (uint32_t output = 0; output < layer->outputs; ++output) {
        const uint8_t *v = x;
        uint32_t sum = 0;
        uint32_t left = layer->inputs;
        while (left >= 4u) {
            sum += (uint32_t)weights[0] * (v[0] ^ flip);
            sum += (uint32_t)weights[1] * (v[1] ^ flip);
            sum += (uint32_t)weights[2] * (v[2] ^ flip);
            sum += (uint32_t)weights[3] * (v[3] ^ flip);
            weights += 4;
            v += 4;
            left -= 4u;
        }
        while (left != 0u) {
            sum += *weights++ * (*v++ ^ flip);
            --left;
        }
        bitq_finish(layer, output, sum - offset, y);
    }
}
