#include "bitq.h"

/* Takes the two lowest bits of the buckets' numbers away: leaves the sums of each four of them, and over all the sums
 * of those with the lowest and with the second bit. */
static void take_two_bits(const uint32_t *from, uint32_t *to, uint32_t count, uint32_t *sums)
{
    const uint32_t *const end = to + count;
    uint32_t odd = 0;
    uint32_t upper = 0;
    do {
        const uint32_t third = from[3];
        const uint32_t first = from[1];
        const uint32_t half = from[2] + third;
        odd += first + third;
        upper += half;
        *to++ = from[0] + first + half;
        from += 4;
    } while (to != end);
    sums[0] = odd;
    sums[1] = upper;
}

/* Adds up 256 buckets by the bits of their number: sums[k] is over all whose number has bit k. Returns the sum of all.
 * The buckets are empty afterwards; rest has room for 64 sums. */
uint32_t bitq_bucket_sums(uint32_t *buckets, uint32_t *rest, uint32_t *sums)
{
    const uint32_t *const end = buckets + 256;
    take_two_bits(buckets, rest, 64, sums);
    while (buckets != end) {
        buckets[0] = 0;
        buckets[1] = 0;
        buckets[2] = 0;
        buckets[3] = 0;
        buckets[4] = 0;
        buckets[5] = 0;
        buckets[6] = 0;
        buckets[7] = 0;
        buckets += 8;
    }
    take_two_bits(rest, rest, 16, sums + 2);
    take_two_bits(rest, rest, 4, sums + 4);
    take_two_bits(rest, rest, 1, sums + 6);
    return rest[0];
}
