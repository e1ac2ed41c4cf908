#include "bitq.h"

/* Two values, element by element; the second may be the same for all places or for all channels. */
void bitq_multiply(const bitq_product *layer, const uint8_t *first, const uint8_t *second, void *y)
{
    uint32_t index = 0;
    for (uint32_t place = layer->places; place != 0u; --place) {
        const uint8_t *gate = second;
        for (uint32_t channel = layer->channels; channel != 0u; --channel) {
            const int32_t a = bitq_signed((uint32_t)first[index] ^ layer->flip[0]) - (int32_t)layer->zero[0];
            const int32_t b = bitq_signed((uint32_t)*gate ^ layer->flip[1]) - (int32_t)layer->zero[1];
            bitq_put(layer->rescale, index, a * b, y);
            gate += layer->channel_step;
            ++index;
        }
        second += layer->place_step;
    }
}
