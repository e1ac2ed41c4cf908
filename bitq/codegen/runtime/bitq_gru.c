#include "bitq.h"

/* h = n + z * (h - n) with n = tanh(a + r * b), from b, r, z, a: the state's parts of n come first, the input's last. */
void bitq_gru(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    const uint32_t units = layer->state.inputs;
    const uint32_t fraction = layer->fraction;
    for (uint32_t i = 0; i < units; ++i) {
        const int32_t *const part = &parts[i];
        const int32_t reset = bitq_sigmoid(part[units], fraction);
        const int32_t update = bitq_sigmoid(part[2u * units], fraction);
        const int32_t new = bitq_tanh(part[3u * units] + bitq_times(reset, part[0]), fraction);
        state[i] = new + bitq_times(update, state[i] - new);
        y[i] = bitq_output(layer, state[i]);
    }
}
