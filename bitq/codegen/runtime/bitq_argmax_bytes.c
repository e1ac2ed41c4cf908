#include "bitq.h"

/* The same for 8-bit activations. */
int32_t bitq_argmax_bytes(const uint8_t *x, uint32_t count, uint32_t flip)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; ++i) {
        if (((uint32_t)x[i] ^ flip) > ((uint32_t)x[best] ^ flip)) {
            best = i;
        }
    }
    return (int32_t)best;
}
