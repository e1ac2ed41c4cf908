#include "bitq.h"

/* Runs a cell over the steps of a sequence, one direction.
 *
 * At each step both matrices give the parts of all gates; the cell then turns them into its state and the bytes of
 * its output, which the next step reads. They lie in y: each step's at its place, or the latest ones alone.
 */
void bitq_recur(const bitq_recurrent *layer, const uint8_t *x, uint8_t *copy, int32_t *work, uint8_t *y)
{
    const uint32_t inputs = layer->input.inputs;
    const uint32_t units = layer->state.inputs;
    const uint32_t skip = layer->whole != 0u ? units : 0u;
    int32_t *const parts = work + units;
    int32_t *const added = parts + layer->apart;
    uint32_t place = layer->first;
    uint8_t *h = y + place * skip;
    for (uint32_t i = 0; i < units; ++i) {
        work[i] = 0;
        h[i] = layer->zero;
    }
    for (uint32_t left = layer->steps; left != 0u; --left) {
        bitq_dense(&layer->state, h, NULL, parts);
        for (uint32_t i = 0; i < layer->apart; ++i) {
            parts[layer->state.outputs + i] = 0;
        }
        bitq_dense(&layer->input, x + place * inputs, copy, added);
        h = y + place * skip;
        layer->cell(layer, parts, work, h);
        place = layer->reverse != 0u ? place - 1u : place + 1u;
    }
}
