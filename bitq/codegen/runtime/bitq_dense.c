#include "bitq.h"

void bitq_dense(const bitq_linear *layer, const uint8_t *x, uint8_t *copy, void *y)
{
    uint32_t total = 0;
    for (uint32_t i = 0; i < layer->inputs; ++i) {
        uint32_t value = x[i];
        if (copy != NULL) {
            value ^= 0x80u;
            copy[i] = (uint8_t)value;
        }
        total += value;
    }
    layer->kernel(layer, copy != NULL ? copy : x, total, y);
}
