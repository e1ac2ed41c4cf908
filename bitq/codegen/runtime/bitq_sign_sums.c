#include "bitq.h"

/* Of four outputs, those of the first two by one word of weights, those of the others by the next. */
typedef struct {
    uint32_t first, second, third, fourth;
} output_sums;

/* Adds four inputs; their signs are bits 7 and 3 of the bytes of a and b. */
static inline void add_inputs(output_sums *sums, uint32_t four, uint32_t a, uint32_t b, uint32_t mask)
{
    sums->first = bitq_add_distances(sums->first, four, a & mask);
    sums->second = bitq_add_distances(sums->second, four, (a << 4) & mask);
    sums->third = bitq_add_distances(sums->third, four, b & mask);
    sums->fourth = bitq_add_distances(sums->fourth, four, (b << 4) & mask);
}

/* The sums of weight * (x - 64); weights of 1 bit, inputs of 7 bits. sums: room for a multiple of four outputs.
 *
 * The weights of two outputs for 16 inputs are one word: bit 7 - k of byte i is set for -1 of the first output at input
 * 4 * k + i, bit 3 - k for the second one. What is added is x, or 128 - x for -1: so a sum counts 128 for each -1, and
 * begins with -64 for each input.
 *
 * Four outputs at once, whose words lie side by side. The last two have one alone, and the word behind it is read in
 * vain. Inputs are read as whole words; those behind the last one are 0. */
void bitq_sign_sums(const int32_t *weights, const uint8_t *x, uint32_t inputs, uint32_t outputs, uint32_t *sums)
{
    const uint8_t *const end = x + (((inputs + 3u) >> 2) << 2);
    const uint32_t mask = bitq_hidden(0x80808080u);
    uint32_t left = outputs;
#if defined(__ARM_FEATURE_DSP)
    const uint8_t *const whole = x + ((inputs >> 4) << 4);
#endif
    while (left != 0u) {
        const uint32_t step = left > 2u ? 2u : 1u;
        const uint32_t start = 0u - (inputs << 6);
        output_sums done = {start, start, start, start};
        const uint8_t *v = x;
#if defined(__ARM_FEATURE_DSP)
        while (v != whole) {
            const uint32_t a = (uint32_t)weights[0];
            const uint32_t b = (uint32_t)weights[1];
            weights += step;
            add_inputs(&done, bitq_word(v), a, b, mask);
            add_inputs(&done, bitq_word(v + 4), a << 1, b << 1, mask);
            add_inputs(&done, bitq_word(v + 8), a << 2, b << 2, mask);
            add_inputs(&done, bitq_word(v + 12), a << 3, b << 3, mask);
            v += 16;
        }
#endif
        while (v != end) {
            const uint8_t *const stop = (end - v > 16) ? v + 16 : end;
            uint32_t a = (uint32_t)weights[0];
            uint32_t b = (uint32_t)weights[1];
            weights += step;
            do {
                add_inputs(&done, bitq_word(v), a, b, mask);
                a <<= 1;
                b <<= 1;
                v += 4;
            } while (v != stop);
        }
        sums[0] = done.first;
        sums[1] = done.second;
        sums[2] = done.third;
        sums[3] = done.fourth;
        sums += 4;
        left -= left < 4u ? left : 4u;
    }
}
