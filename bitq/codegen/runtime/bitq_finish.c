#include "bitq.h"

/* The end of one output of a linear layer, from its sum(weight * x). */
void bitq_finish(const bitq_linear *layer, uint32_t output, uint32_t sum, void *y)
{
    uint32_t bias;
    int32_t value;
    if (layer->bias_shift == BITQ_BIAS_INT32) {
        bias = (uint32_t)((const int32_t *)layer->bias)[output];
    } else {
        bias = (uint32_t)((const int16_t *)layer->bias)[output] << layer->bias_shift;
    }
    value = bitq_signed(sum + bias);
    if (layer->rescale != NULL) {
        value = bitq_rescaled(layer->rescale, output, value);
    }
    bitq_store(y, output, value, layer->out_bytes);
}
