#include "bitq.h"

/* h = tanh(a + b) */
void bitq_rnn(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    const int32_t scale = bitq_signed(UINT32_C(16384) >> layer->fraction);
    (void)state;
    for (uint32_t i = 0; i < layer->units; ++i) {
        y[i] = bitq_output(bitq_curved(parts[i] * scale), layer->shift, layer->zero);
    }
}
