/* The smallest application: run the model on one input in RAM, for ever.
 *
 * The emulator boots it up to main() and then calls the entry point itself, once per sample, with these buffers.
 */
#include <stdint.h>

int32_t BITQ_RUN(const BITQ_INPUT_TYPE *input, int32_t *scores);

extern BITQ_INPUT_TYPE bitq_input[BITQ_INPUT_LENGTH];
extern int32_t bitq_scores[BITQ_SCORES_LENGTH];
extern volatile int32_t bitq_winner;

/* Word aligned, as an application would place a buffer that a DMA fills. */
__attribute__((aligned(4))) BITQ_INPUT_TYPE bitq_input[BITQ_INPUT_LENGTH];
int32_t bitq_scores[BITQ_SCORES_LENGTH];
volatile int32_t bitq_winner;

int main(void);

int main(void)
{
    for (;;) {
        bitq_winner = BITQ_RUN(bitq_input, bitq_scores);
    }
}
