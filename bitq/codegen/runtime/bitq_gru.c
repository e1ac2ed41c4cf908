#include "bitq.h"

/* h = n + z * (h - n) with n = tanh(a + r * b); the parts are b, r, z, a. h and n are more by 2^30. */
void bitq_gru(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    const uint32_t units = layer->units;
    const uint32_t shift = layer->shift;
    const int32_t zero = layer->zero;
    const uint32_t fraction = layer->fraction;
    const uint32_t narrow = layer->narrow;
    for (uint32_t i = 0; i < units; ++i) {
        const int32_t kept = bitq_gru_kept(bitq_curved(parts[units + i], fraction - 3u), parts[i], narrow);
        const int32_t new = bitq_curved(parts[3u * units + i] + kept, fraction - 4u);
        state[i] = bitq_gru_state(bitq_curved(parts[2u * units + i], fraction - 3u), new, state[i]);
        y[i] = bitq_output(state[i] - 1073741824, shift, zero);
    }
}
