#include "bitq.h"

/* c = f * c + i * g, h = o * tanh(c), from i, f, g, o. */
void bitq_lstm(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    const uint32_t units = layer->units;
    const uint32_t shift = layer->shift;
    const int32_t zero = layer->zero;
    const uint32_t fraction = layer->fraction;
    const uint32_t cell_fraction = layer->cell_fraction;
    const uint32_t narrow = 14u - cell_fraction;
    for (uint32_t i = 0; i < units; ++i) {
        const int32_t take = bitq_sigmoid(parts[i], fraction);
        const int32_t keep = bitq_sigmoid(parts[units + i], fraction);
        const int32_t new = bitq_tangent(parts[2u * units + i], fraction);
        const int32_t give = bitq_sigmoid(parts[3u * units + i], fraction);
        int32_t cell = bitq_floor_shift(keep * state[i] + bitq_floor_shift(take * new, narrow) + 16384, 15);
        if (cell > 32767) {
            cell = 32767;
        }
        if (cell < -32767) {
            cell = -32767;
        }
        state[i] = cell;
        y[i] = bitq_output(bitq_times(give, bitq_tangent(cell, cell_fraction)), shift, zero);
    }
}
