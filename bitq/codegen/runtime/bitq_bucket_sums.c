#include "bitq.h"

/* Adds up buckets by the bits of their number: sums[k] is over all whose number has bit k. Returns the sum of all.
 *
 * Each round takes the two lowest bits away and leaves a quarter of the buckets, in place; their count is a power of 4.
 */
uint32_t bitq_bucket_sums(uint32_t *buckets, uint32_t count, uint32_t *sums)
{
    do {
        const uint32_t *from = buckets;
        uint32_t *to = buckets;
        uint32_t *end;
        uint32_t odd = 0;
        uint32_t upper = 0;
        count >>= 2;
        end = buckets + count;
        do {
            const uint32_t third = from[3];
            const uint32_t first = from[1];
            const uint32_t half = from[2] + third;
            odd += first + third;
            upper += half;
            *to++ = from[0] + first + half;
            from += 4;
        } while (to != end);
        *sums++ = odd;
        *sums++ = upper;
    } while (count != 1u);
    return buckets[0];
}
