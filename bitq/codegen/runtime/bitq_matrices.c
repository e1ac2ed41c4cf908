#include "bitq.h"

/* The parts of both matrices, added up; numbers that only one of them gives stay as they are. */
void bitq_matrices(const bitq_recurrent *layer, const uint8_t *x, const uint8_t *before, int32_t *parts)
{
    const bitq_recurrent_matrices *const own = (const bitq_recurrent_matrices *)(const void *)layer;
    bitq_dense(&own->state, before, parts);
    for (uint32_t i = own->state.outputs; i < layer->words; ++i) {
        parts[i] = 0;
    }
    bitq_dense(&own->input, x, parts + own->apart);
}
