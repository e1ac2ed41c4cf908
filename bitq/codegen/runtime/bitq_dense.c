#include "bitq.h"

void bitq_dense(const bitq_linear *layer, const uint8_t *x, void *y)
{
    uint32_t total = 0;
    const uint8_t *v = x + layer->inputs;
    while (v != x) {
        total += (uint32_t)*--v ^ layer->flip;
    }
    layer->kernel(layer, x, total, y);
}
