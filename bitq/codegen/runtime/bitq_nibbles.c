#include "bitq.h"

/* Weights of 4 bits, two in a byte, the low half first; an odd last one leaves its high half unused. */
void bitq_nibbles(const bitq_linear *layer, const uint8_t *x, uint32_t total, void *y)
{
    const uint8_t *weights = layer->weights;
    const uint32_t flip = layer->flip;
    const uint32_t offset = total * layer->offset;
    const uint32_t pairs = (uint32_t)layer->inputs >> 1;
    for (uint32_t output = 0; output < layer->outputs; ++output) {
        const uint8_t *v = x;
        uint32_t sum = 0;
        for (uint32_t pair = pairs; pair != 0u; --pair) {
            const uint32_t fields = *weights++;
            sum += (fields & 15u) * (v[0] ^ flip);
            sum += (fields >> 4) * (v[1] ^ flip);
            v += 2;
        }
        if ((layer->inputs & 1u) != 0u) {
            sum += (uint32_t)*weights++ * (v[0] ^ flip);
        }
        bitq_finish(layer, output, sum + sum - offset, y);
    }
}
