#include "bitq.h"

/* Weights of 1 to 3 bits as bit planes, the highest first; bit i of byte j belongs to input 8 * j + i.
 *
 * A plane adds up the inputs whose bit is set. Bits past the last input are 0, so nothing is read there. The
 * branches depend on weights alone: every inference takes the same path.
 */
void bitq_planes(const bitq_linear *layer, const uint8_t *x, uint32_t total, void *y)
{
    const uint8_t *weights = layer->weights;
    const uint32_t offset = total * layer->offset;
    for (uint32_t output = 0; output < layer->outputs; ++output) {
        uint32_t sum = 0;
        for (uint32_t plane = layer->planes; plane != 0u; --plane) {
            const uint8_t *const end = weights + layer->row_bytes;
            const uint8_t *v = x;
            sum += sum;
            for (;;) {
                const uint32_t bits = *weights++;
                if ((bits & 0x01u) != 0u) {
                    sum += v[0];
                }
                if ((bits & 0x02u) != 0u) {
                    sum += v[1];
                }
                if ((bits & 0x04u) != 0u) {
                    sum += v[2];
                }
                if ((bits & 0x08u) != 0u) {
                    sum += v[3];
                }
                if ((bits & 0x10u) != 0u) {
                    sum += v[4];
                }
                if ((bits & 0x20u) != 0u) {
                    sum += v[5];
                }
                if ((bits & 0x40u) != 0u) {
                    sum += v[6];
                }
                if ((bits & 0x80u) != 0u) {
                    sum += v[7];
                }
                if (weights == end) {
                    break;
                }
                v += 8;
            }
        }
        bitq_finish(layer, output, sum, offset, y);
    }
}
