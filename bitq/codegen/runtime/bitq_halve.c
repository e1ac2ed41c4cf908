#include "bitq.h"

/* Bytes become half of them, rounded down. */
void bitq_halve(const uint8_t *x, uint32_t flip, uint8_t *y, uint32_t count)
{
#if defined(__ARM_FEATURE_UNALIGNED)
    const uint32_t flips = flip * UINT32_C(0x01010101);
    for (; count >= 4u; count -= 4u) {
        uint32_t half = ((bitq_word(x) ^ flips) >> 1) & UINT32_C(0x7F7F7F7F);
        BITQ_OPAQUE(half);
        y[0] = (uint8_t)half;
        y[1] = (uint8_t)(half >> 8);
        y[2] = (uint8_t)(half >> 16);
        y[3] = (uint8_t)(half >> 24);
        x += 4;
        y += 4;
    }
#endif
    for (; count != 0u; --count) {
        *y++ = (uint8_t)(((uint32_t)*x++ ^ flip) >> 1);
    }
}
