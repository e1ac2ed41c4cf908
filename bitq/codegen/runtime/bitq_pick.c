#include "bitq.h"

/* A slice or a transpose: elements of the input in another order, without some. */
void bitq_pick(const bitq_picks *picks, uint32_t flip, const uint8_t *x, uint8_t *y)
{
    int32_t first = 0;
    for (uint32_t i = picks->size[0]; i != 0u; --i) {
        int32_t second = first;
        for (uint32_t j = picks->size[1]; j != 0u; --j) {
            int32_t at = second;
            for (uint32_t k = picks->size[2]; k != 0u; --k) {
                *y++ = (uint8_t)((uint32_t)x[at] ^ flip);
                at += picks->step[2];
            }
            second += picks->step[1];
        }
        first += picks->step[0];
    }
}
