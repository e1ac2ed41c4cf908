#include "bitq.h"

/* One step of a recurrent layer: both matrices give the parts of all gates, and the cell turns them into its state and
 * its output, which may take the place of the output before. */
void bitq_step(const bitq_recurrent *layer, const uint8_t *x, uint8_t *copy, int32_t *parts, int32_t *state,
               const uint8_t *before, uint8_t *y)
{
    bitq_dense(&layer->state, before, NULL, parts);
    for (uint32_t i = 0; i < layer->apart; ++i) {
        parts[layer->state.outputs + i] = 0;
    }
    bitq_dense(&layer->input, x, copy, parts + layer->apart);
    layer->cell(layer, parts, state, y);
}
