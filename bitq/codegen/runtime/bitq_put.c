#include "bitq.h"

/* Rescales a sum by the one rounding rule, half up, once, and writes element `channel` of y. */
void bitq_put(const bitq_rescale *rescale, uint32_t channel, int32_t sum, void *y)
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
    value += rescale->zero_point;
    if (rescale->out_bytes == 1u) {
        ((uint8_t *)y)[channel] = (uint8_t)value;
    } else if (rescale->out_bytes == 4u) {
        ((int32_t *)y)[channel] = value;
    } else {
        ((int32_t *)y)[channel] += value;
    }
}
