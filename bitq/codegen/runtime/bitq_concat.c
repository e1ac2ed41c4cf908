#include "bitq.h"

/* Puts the channels of one value among those of a wider one, place by place. */
void bitq_concat(const uint8_t *x, uint32_t flip, uint32_t places, uint32_t channels, uint8_t *y, uint32_t step)
{
    for (; places != 0u; --places) {
        for (uint32_t i = 0; i < channels; ++i) {
            y[i] = (uint8_t)((uint32_t)*x++ ^ flip);
        }
        y += step;
    }
}
