#include "bitq.h"

/* Appends a sample to the latest ones. Where they fill the window, the first `stride` of them make room before.
 * Returns 1 if the window is full now, else 0. */
uint32_t bitq_slide(int8_t *window, uint16_t *filled, const int16_t *sample, uint32_t channels, uint32_t length,
                    uint32_t stride)
{
    uint32_t count = *filled;
    if (count == length) {
        count -= stride;
        for (uint32_t i = 0; i < count * channels; ++i) {
            window[i] = window[i + stride * channels];
        }
    }
    for (uint32_t i = 0; i < channels; ++i) {
        int32_t value = sample[i];
        if (value > 127) {
            value = 127;
        }
        if (value < -128) {
            value = -128;
        }
        window[count * channels + i] = (int8_t)value;
    }
    ++count;
    *filled = (uint16_t)count;
    return count == length ? 1u : 0u;
}
