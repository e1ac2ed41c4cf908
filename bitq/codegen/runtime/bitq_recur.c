#include "bitq.h"

/* Runs a cell over the steps of a sequence, one direction, from a state of zero.
 *
 * The output of a step, which the next one reads, lies in y: at its own place, or over the one before.
 */
void bitq_recur(const bitq_recurrent *layer, const uint8_t *x, uint8_t *copy, int32_t *work, uint8_t *y)
{
    const uint32_t inputs = layer->input.inputs;
    const uint32_t units = layer->state.inputs;
    const uint32_t skip = layer->whole != 0u ? units : 0u;
    int32_t *const state = work + (layer->state.outputs + layer->apart);
    uint32_t place = layer->first;
    const uint8_t *before = y + place * skip;
    for (uint32_t i = 0; i < units; ++i) {
        state[i] = 0;
        y[place * skip + i] = layer->zero;
    }
    for (uint32_t left = layer->steps; left != 0u; --left) {
        bitq_step(layer, x + place * inputs, copy, work, state, before, y + place * skip);
        before = y + place * skip;
        place = layer->reverse != 0u ? place - 1u : place + 1u;
    }
}
