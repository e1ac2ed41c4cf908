#include "bitq.h"

/* Makes the eight sums of each four bytes, `sets` times. */
void bitq_byte_sums(const uint8_t *x, uint32_t sets, uint32_t *sums)
{
    for (; sets != 0u; --sets) {
        bitq_eight_sums(x[0], x[1], x[2], x[3], sums);
        x += 4;
        sums += 8;
    }
}
