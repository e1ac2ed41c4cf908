#include "bitq.h"

/* Makes the eight sums of each four words, `sets` times; they may overwrite what has been read. */
void bitq_sums(const uint32_t *x, uint32_t sets, uint32_t *sums)
{
    for (; sets != 0u; --sets) {
        bitq_eight_sums(x[0], x[1], x[2], x[3], sums);
        x += 4;
        sums += 8;
    }
}
