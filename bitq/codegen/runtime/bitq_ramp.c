#include "bitq.h"

/* Leaky and hard activations: the slope depends on the sign. */
void bitq_ramp(const bitq_slopes *layer, const uint8_t *x, void *y)
{
    uint32_t index = 0;
    for (uint32_t place = layer->places; place != 0u; --place) {
        for (uint32_t channel = 0; channel < layer->channels; ++channel) {
            const uint32_t at = layer->step != 0u ? channel : 0u;
            const int32_t v = bitq_signed((uint32_t)x[index] ^ layer->flip) - (int32_t)layer->zero;
            const int32_t slope = v < 0 ? layer->negative[at] : layer->positive[at];
            const int32_t sum = v * slope + layer->offset[at];
            bitq_put(layer->rescale, index, sum, y);
            ++index;
        }
    }
}
