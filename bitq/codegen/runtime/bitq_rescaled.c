#include "bitq.h"

/* The one rounding rule: half up, once. */
int32_t bitq_rescaled(const bitq_rescale *rescale, uint32_t channel, int32_t sum)
{
    const int32_t multiplier = rescale->multiplier[rescale->step != 0u ? channel : 0u];
    const int32_t half = bitq_signed((UINT32_C(1) << rescale->shift) >> 1);
    int32_t value = bitq_floor_shift(sum, rescale->pre_shift) * multiplier;
    value = bitq_floor_shift(value + half, rescale->shift);
    if (value < rescale->low) {
        value = rescale->low;
    }
    if (value > rescale->high) {
        value = rescale->high;
    }
    return value + rescale->zero_point;
}
