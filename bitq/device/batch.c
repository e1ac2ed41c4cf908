/* Runs the model on many samples in one call, so that the loop over a test set costs no Python. */
#include <stddef.h>
#include <stdint.h>

int32_t BITQ_RUN(const BITQ_INPUT_TYPE *input, int32_t *scores);
void bitq_batch(size_t count, const BITQ_INPUT_TYPE *inputs, int32_t *scores, int32_t *winners);

void bitq_batch(size_t count, const BITQ_INPUT_TYPE *inputs, int32_t *scores, int32_t *winners)
{
    for (size_t i = 0; i < count; ++i) {
        winners[i] = BITQ_RUN(inputs + i * BITQ_INPUT_LENGTH, scores + i * BITQ_SCORES_LENGTH);
    }
}
