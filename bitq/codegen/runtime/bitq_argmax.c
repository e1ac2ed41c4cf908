#include "bitq.h"

/* Index of the largest element; the lowest index wins a tie. */
int32_t bitq_argmax(const int32_t *x, uint32_t count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < count; ++i) {
        if (x[i] > x[best]) {
            best = i;
        }
    }
    return (int32_t)best;
}
