#include "bitq.h"

/* The average over all places of each channel; the rescale holds the division. */
void bitq_mean(const bitq_whole *layer, const uint8_t *x, void *y)
{
    for (uint32_t channel = 0; channel < layer->channels; ++channel) {
        const uint8_t *v = x + channel;
        uint32_t sum = (uint32_t)layer->start;
        for (uint32_t place = layer->places; place != 0u; --place) {
            sum += *v;
            v += layer->channels;
        }
        bitq_put(layer->rescale, channel, bitq_signed(sum), y);
    }
}
