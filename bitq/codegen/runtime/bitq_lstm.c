#include "bitq.h"

/* c = f * c + i * g, h = o * tanh(c), from i, f, g, o. */
void bitq_lstm(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)
{
    const uint32_t units = layer->state.inputs;
    const uint32_t fraction = layer->fraction;
    for (uint32_t i = 0; i < units; ++i) {
        const int32_t *const part = &parts[i];
        const int32_t take = bitq_sigmoid(part[0], fraction);
        const int32_t keep = bitq_sigmoid(part[units], fraction);
        const int32_t new = bitq_tanh(part[2u * units], fraction);
        const int32_t give = bitq_sigmoid(part[3u * units], fraction);
        const int32_t added = bitq_floor_shift(take * new, 15u - layer->cell_fraction);
        int32_t cell = bitq_floor_shift(keep * state[i] + added + 16384, 15);
        if (cell > 32767) {
            cell = 32767;
        }
        if (cell < -32767) {
            cell = -32767;
        }
        state[i] = cell;
        y[i] = bitq_output(layer, bitq_times(give, bitq_tanh(cell, layer->cell_fraction)));
    }
}
