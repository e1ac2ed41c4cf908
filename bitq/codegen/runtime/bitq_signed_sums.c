#include "bitq.h"

/* Makes the eight sums of each four bytes, `sets` times. */
void bitq_signed_sums(const int8_t *x, uint32_t sets, uint32_t *sums)
{
    for (; sets != 0u; --sets) {
        bitq_eight_sums((uint32_t)x[0], (uint32_t)x[1], (uint32_t)x[2], (uint32_t)x[3], sums);
        x += 4;
        sums += 8;
    }
}
