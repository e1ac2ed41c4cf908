#include "bitq.h"

/* Adds each input to the bucket that its weight of one group names. */
void bitq_fill_one(const uint8_t *weights, const uint8_t *x, uint32_t inputs, uint32_t *buckets)
{
    while ((inputs & 3u) != 0u) {
        const uint32_t value = (uint32_t)*x++;
        buckets[*weights++] += value;
        --inputs;
    }
    const uint8_t *const end = x + inputs;
    while (x != end) {
        uint32_t value = (uint32_t)x[0];
        buckets[weights[0]] += value;
        value = (uint32_t)x[1];
        buckets[weights[1]] += value;
        value = (uint32_t)x[2];
        buckets[weights[2]] += value;
        value = (uint32_t)x[3];
        buckets[weights[3]] += value;
        x += 4;
        weights += 4;
    }
}
