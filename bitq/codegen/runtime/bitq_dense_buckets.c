#include "bitq.h"

#define BUCKETS 256u

/* A dense layer that looks at eight weights at once, without a branch, a shift or a product per weight.
 *
 * Eight columns of weight bits, of one or more outputs, form a group: a byte for each input. That byte is the number
 * of the bucket which the input is added to. In the end a column's sum is that of all buckets whose number has its
 * bit. Two groups share the reading of the inputs; their bytes lie side by side.
 */
void bitq_dense_buckets(const bitq_linear *layer, const uint8_t *x, bitq_fill_kernel *fill, uint32_t *buckets, void *y)
{
    const uint8_t *weights = layer->weights;
    uint32_t *group = buckets;
    uint32_t output = 0;
    do {
        uint32_t sums[8];
        uint32_t offset;
        if (group == buckets) {
            for (group = buckets + 2u * BUCKETS; group != buckets; group -= 4) {
                group[-1] = 0;
                group[-2] = 0;
                group[-3] = 0;
                group[-4] = 0;
            }
            fill(weights, x, layer->inputs, buckets);
            weights += 2u * (uint32_t)layer->inputs;
        }
        offset = bitq_bucket_sums(group, BUCKETS, sums) * layer->offset;
        for (uint32_t column = 0; (column < layer->row_bytes) && (output < layer->outputs); ++output) {
            uint32_t sum = 0;
            for (uint32_t plane = layer->planes; plane != 0u; --plane) {
                sum += sum + sums[column];
                ++column;
            }
            bitq_finish(layer, output, (sum << layer->widen) - offset, y);
        }
        group = group == buckets ? buckets + BUCKETS : buckets;
    } while (output < layer->outputs);
}
