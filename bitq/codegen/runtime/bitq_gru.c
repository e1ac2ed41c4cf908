#include "bitq.h"

/* The parts are b, r, z, a: the state's of n come first, the input's last. */
void bitq_gru(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    const uint32_t units = layer->units;
    const uint32_t shift = layer->shift;
    const int32_t zero = layer->zero;
    const int32_t scale = bitq_signed(UINT32_C(8192) >> layer->fraction);
    for (uint32_t i = 0; i < units; ++i) {
        state[i] = bitq_gru_unit(parts[units + i], parts[2u * units + i], parts[3u * units + i], parts[i], state[i], scale);
        y[i] = bitq_output(state[i], shift, zero);
    }
}
