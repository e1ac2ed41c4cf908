#include "bitq.h"

/* h = n + z * (h - n) with n = tanh(a + r * b), from b, r, z, a: the state's parts of n come first, the input's last. */
void bitq_gru(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    const uint32_t units = layer->units;
    const uint32_t shift = layer->shift;
    const int32_t zero = layer->zero;
    const int32_t scale = bitq_signed(UINT32_C(8192) >> layer->fraction);
    for (uint32_t i = 0; i < units; ++i) {
        const int32_t reset = bitq_sigmoid(parts[units + i] * scale);
        const int32_t update = bitq_sigmoid(parts[2u * units + i] * scale);
        const int32_t sum = parts[3u * units + i] + bitq_times(reset, parts[i]);
        const int32_t new = bitq_tanh(2 * sum * scale);
        state[i] = new + bitq_times(update, state[i] - new);
        y[i] = bitq_output(state[i], shift, zero);
    }
}
