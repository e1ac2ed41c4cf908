#include "bitq.h"

/* The sums of one output at both places, a and b, and of the next output, c and d. */
typedef struct {
    uint32_t a, b, c, d;
} place_sums;

/* Adds the k-th words of both places, with the signs of two outputs. */
static inline void add_words(place_sums *sums, const uint32_t *x, uint32_t signs, uint32_t k, uint32_t mask)
{
    const uint32_t first = (signs << k) & mask;
    const uint32_t second = (signs << (k + 4u)) & mask;
    sums->a = bitq_add_distances(sums->a, x[2u * k], first);
    sums->b = bitq_add_distances(sums->b, x[2u * k + 1u], first);
    sums->c = bitq_add_distances(sums->c, x[2u * k], second);
    sums->d = bitq_add_distances(sums->d, x[2u * k + 1u], second);
}

/* The sums of all outputs of a convolution at two places, two outputs at once: those of the first place, then those of
 * the second one. Their inputs lie word by word side by side. */
void bitq_sign_places(const bitq_sign_convolution *layer, const uint32_t *x, uint32_t *sums)
{
    const int32_t *weights = layer->weights;
    const uint32_t words = layer->words;
    const uint32_t start = 0u - layer->inputs * UINT32_C(64);
    const uint32_t outputs = layer->outputs;
    const uint32_t *const whole = x + 2u * (words & ~UINT32_C(3));
    const uint32_t *const end = sums + outputs;
    const uint32_t mask = bitq_hidden(0x80808080u);
    do {
        const uint32_t *next = x;
        place_sums done = {start, start, start, start};
        while (next != whole) {
            const uint32_t signs = (uint32_t)*weights++;
            add_words(&done, next, signs, 0, mask);
            add_words(&done, next, signs, 1, mask);
            add_words(&done, next, signs, 2, mask);
            add_words(&done, next, signs, 3, mask);
            next += 8;
        }
        if ((words & 2u) != 0u) {
            const uint32_t signs = (uint32_t)*weights++;
            add_words(&done, next, signs, 0, mask);
            add_words(&done, next, signs, 1, mask);
        }
        sums[0] = done.a;
        sums[1] = done.c;
        sums[outputs] = done.b;
        sums[outputs + 1u] = done.d;
        sums += 2;
    } while (sums != end);
}
