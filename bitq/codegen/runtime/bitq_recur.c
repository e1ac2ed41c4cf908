#include "bitq.h"

/* Runs a cell over the steps of a sequence, one direction, from a state of zero.
 *
 * The output of a step, which the next one reads, lies in y: at its own place, or over the one before. The first one
 * reads zeros at the start of y.
 */
void bitq_recur(const bitq_recurrent *layer, const uint8_t *x, int32_t *work, uint8_t *y)
{
    uint32_t place = layer->first;
    const uint8_t *before = y;
    for (uint32_t i = 0; i < layer->units; ++i) {
        work[layer->words + i] = layer->start;
        y[i] = layer->zero;
    }
    for (uint32_t left = layer->steps; left != 0u; --left) {
        uint8_t *const h = y + (layer->whole != 0u ? place * layer->units : 0u);
        layer->parts(layer, x + place * layer->inputs, before, work);
        layer->cell(layer, work, work + layer->words, h);
        before = h;
        place = layer->reverse != 0u ? place - 1u : place + 1u;
    }
}
