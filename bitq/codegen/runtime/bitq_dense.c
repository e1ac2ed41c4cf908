#include "bitq.h"

void bitq_dense(const bitq_linear *layer, const uint8_t *x, uint8_t *copy, void *y)
{
    uint32_t total = 0;
    if (copy != NULL) {
        for (uint32_t i = 0; i < layer->inputs; ++i) {
            copy[i] = x[i] ^ 0x80u;
        }
        x = copy;
    }
    for (const uint8_t *v = x + layer->inputs; v != x;) {
        total += (uint32_t)*--v ^ layer->flip;
    }
    layer->kernel(layer, x, total, y);
}
