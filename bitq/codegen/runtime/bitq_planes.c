#include "bitq.h"

/* Weights of 2 or 3 bits, and ternary ones, as bit planes, the highest first; bit i of byte j belongs to input 8 * j + i.
 *
 * Each plane counts twice as much as the next one.
 */
void bitq_planes(const bitq_linear *layer, const uint8_t *x, uint32_t total, void *y)
{
    const uint8_t *weights = layer->weights;
    const uint32_t flip = layer->flip;
    const uint32_t offset = total * layer->offset;
    for (uint32_t output = 0; output < layer->outputs; ++output) {
        uint32_t sum = 0;
        for (uint32_t plane = layer->planes; plane != 0u; --plane) {
            const uint8_t *const end = weights + layer->row_bytes;
            const uint8_t *v = x;
            sum += sum;
            for (;;) {
                sum = bitq_add_selected(sum, *weights++, v, flip);
                if (weights == end) {
                    break;
                }
                v += 8;
            }
        }
        bitq_finish(layer, output, (sum << layer->widen) - offset, y);
    }
}
