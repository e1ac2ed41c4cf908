#include "bitq.h"

/* Runs a cell over the steps of a sequence, one direction, from a state of zero.
 *
 * The output of a step, which the next one reads, lies in y: at its own place, or over the one before.
 */
void bitq_recur(const bitq_recurrent *layer, const uint8_t *x, int32_t *work, uint8_t *y)
{
    const uint32_t inputs = layer->inputs;
    const uint32_t units = layer->units;
    const uint32_t skip = layer->whole != 0u ? units : 0u;
    int32_t *const state = work + layer->words;
    uint32_t place = layer->first;
    uint8_t *h = y + place * skip;
    for (uint32_t i = 0; i < units; ++i) {
        state[i] = 0;
        h[i] = layer->zero;
    }
    for (uint32_t left = layer->steps; left != 0u; --left) {
        layer->parts(layer, x + place * inputs, h, work);
        h = y + place * skip;
        layer->cell(layer, work, state, h);
        place = layer->reverse != 0u ? place - 1u : place + 1u;
    }
}
