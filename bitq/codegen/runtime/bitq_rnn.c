#include "bitq.h"

/* h = tanh(a + b) */
void bitq_rnn(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    (void)state;
    for (uint32_t i = 0; i < layer->state.inputs; ++i) {
        y[i] = bitq_output(layer, bitq_tanh(parts[i], layer->fraction));
    }
}
