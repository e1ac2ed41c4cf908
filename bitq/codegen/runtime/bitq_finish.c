#include "bitq.h"

/* The end of one output of a linear layer, from its sum(weight * x). */
void bitq_finish(const bitq_linear *layer, uint32_t output, uint32_t sum, void *y)
{
    if (layer->bias_shift == BITQ_BIAS_INT32) {
        sum += (uint32_t)((const int32_t *)layer->bias)[output];
    } else {
        sum += (uint32_t)((const int16_t *)layer->bias)[output] << layer->bias_shift;
    }
    if (layer->rescale != NULL) {
        bitq_put(layer->rescale, output, bitq_signed(sum), y);
    } else {
        ((int32_t *)y)[output] = bitq_signed(sum);
    }
}
