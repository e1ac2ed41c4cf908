#include "bitq.h"

/* A dense layer that looks at eight weights at once, without a branch, a shift or a product per weight.
 *
 * Eight columns of weight bits, of one or more outputs, form a group: a byte for each input. That byte is the number
 * of the bucket which the input is added to. In the end a column's sum is that of all buckets whose number has its
 * bit. Two groups, or the only one, share the reading of the inputs; their bytes lie side by side.
 */
void bitq_dense_buckets(const bitq_buckets *layer, const uint8_t *x, bitq_fill_kernel *fill, uint32_t *buckets,
                        void *y)
{
    const bitq_linear *const linear = &layer->linear;
    uint32_t *const rest = buckets + 256u * layer->groups;
    const uint8_t *weights = linear->weights;
    uint32_t output = 0;
    uint32_t *clear = rest;
    while (clear != buckets) {
        *--clear = 0;
    }
    do {
        fill(weights, x, linear->inputs, buckets);
        weights += (uint32_t)layer->groups * linear->inputs;
        for (uint32_t *group = buckets; group != rest; group += 256) {
            uint32_t sums[8];
            const uint32_t offset = bitq_bucket_sums(group, rest, sums) * linear->offset;
            uint32_t column = 0;
            while ((column < layer->columns) && (output < linear->outputs)) {
                uint32_t sum = sums[column];
                ++column;
                for (uint32_t plane = linear->planes; plane != 1u; --plane) {
                    sum += sum + sums[column];
                    ++column;
                }
                bitq_finish(linear, output, (sum << linear->widen) - offset, y);
                ++output;
            }
        }
    } while (output < linear->outputs);
}
