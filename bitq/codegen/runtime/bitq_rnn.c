#include "bitq.h"

/* h = tanh(a + b) */
void bitq_rnn(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    (void)state;
    for (uint32_t i = 0; i < layer->units; ++i) {
        y[i] = bitq_output(bitq_tangent(parts[i], layer->fraction), layer->shift, layer->zero);
    }
}
