#include "bitq.h"

/* h = max(0, a + b); the output holds nothing below 0 */
void bitq_relu(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    (void)state;
    for (uint32_t i = 0; i < layer->units; ++i) {
        y[i] = bitq_output(parts[i], layer->shift, layer->zero);
    }
}
