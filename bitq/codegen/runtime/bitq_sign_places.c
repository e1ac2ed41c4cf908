#include "bitq.h"

/* The sums of all outputs of a convolution at two places, two outputs at once: those of the first place, then those of
 * the second one. Their inputs are word by word
 * side by side. */
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
        uint32_t a = start;
        uint32_t b = start;
        uint32_t c = start;
        uint32_t d = start;
        while (next != whole) {
            const uint32_t signs = (uint32_t)*weights++;
            uint32_t turned;
            turned = signs & mask;
            a = bitq_add_distances(a, next[0], turned);
            b = bitq_add_distances(b, next[1], turned);
            turned = (signs << 4) & mask;
            c = bitq_add_distances(c, next[0], turned);
            d = bitq_add_distances(d, next[1], turned);
            turned = (signs << 1) & mask;
            a = bitq_add_distances(a, next[2], turned);
            b = bitq_add_distances(b, next[3], turned);
            turned = (signs << 5) & mask;
            c = bitq_add_distances(c, next[2], turned);
            d = bitq_add_distances(d, next[3], turned);
            turned = (signs << 2) & mask;
            a = bitq_add_distances(a, next[4], turned);
            b = bitq_add_distances(b, next[5], turned);
            turned = (signs << 6) & mask;
            c = bitq_add_distances(c, next[4], turned);
            d = bitq_add_distances(d, next[5], turned);
            turned = (signs << 3) & mask;
            a = bitq_add_distances(a, next[6], turned);
            b = bitq_add_distances(b, next[7], turned);
            turned = (signs << 7) & mask;
            c = bitq_add_distances(c, next[6], turned);
            d = bitq_add_distances(d, next[7], turned);
            next += 8;
        }
        if ((words & 2u) != 0u) {
            const uint32_t signs = (uint32_t)*weights++;
            uint32_t turned;
            turned = signs & mask;
            a = bitq_add_distances(a, next[0], turned);
            b = bitq_add_distances(b, next[1], turned);
            turned = (signs << 4) & mask;
            c = bitq_add_distances(c, next[0], turned);
            d = bitq_add_distances(d, next[1], turned);
            turned = (signs << 1) & mask;
            a = bitq_add_distances(a, next[2], turned);
            b = bitq_add_distances(b, next[3], turned);
            turned = (signs << 5) & mask;
            c = bitq_add_distances(c, next[2], turned);
            d = bitq_add_distances(d, next[3], turned);
        }
        sums[0] = a;
        sums[1] = c;
        sums[outputs] = b;
        sums[outputs + 1u] = d;
        sums += 2;
    } while (sums != end);
}
