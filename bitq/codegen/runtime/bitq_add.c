#include "bitq.h"

/* Two values of one shape, each brought to a common scale by its multiplier, element by element. */
void bitq_add(const bitq_sum *layer, const uint8_t *first, const uint8_t *second, void *y)
{
    for (uint32_t i = 0; i < layer->count; ++i) {
        const int32_t a = bitq_signed((uint32_t)first[i] ^ layer->flip[0]) - (int32_t)layer->zero[0];
        const int32_t b = bitq_signed((uint32_t)second[i] ^ layer->flip[1]) - (int32_t)layer->zero[1];
        const int32_t sum = a * layer->multiplier[0] + b * layer->multiplier[1];
        bitq_put(layer->rescale, i, sum, y);
    }
}
