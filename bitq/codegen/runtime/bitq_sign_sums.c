#include "bitq.h"

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
        uint32_t first = 0u - (inputs << 6);
        uint32_t second = first;
        uint32_t third = first;
        uint32_t fourth = first;
        const uint8_t *v = x;
#if defined(__ARM_FEATURE_DSP)
        while (v != whole) {
            const uint32_t a = (uint32_t)weights[0];
            const uint32_t b = (uint32_t)weights[1];
            uint32_t four;
            weights += step;
            four = bitq_word(v);
            first = bitq_add_distances(first, four, a & mask);
            second = bitq_add_distances(second, four, (a << 4) & mask);
            third = bitq_add_distances(third, four, b & mask);
            fourth = bitq_add_distances(fourth, four, (b << 4) & mask);
            four = bitq_word(v + 4);
            first = bitq_add_distances(first, four, (a << 1) & mask);
            second = bitq_add_distances(second, four, (a << 5) & mask);
            third = bitq_add_distances(third, four, (b << 1) & mask);
            fourth = bitq_add_distances(fourth, four, (b << 5) & mask);
            four = bitq_word(v + 8);
            first = bitq_add_distances(first, four, (a << 2) & mask);
            second = bitq_add_distances(second, four, (a << 6) & mask);
            third = bitq_add_distances(third, four, (b << 2) & mask);
            fourth = bitq_add_distances(fourth, four, (b << 6) & mask);
            four = bitq_word(v + 12);
            first = bitq_add_distances(first, four, (a << 3) & mask);
            second = bitq_add_distances(second, four, (a << 7) & mask);
            third = bitq_add_distances(third, four, (b << 3) & mask);
            fourth = bitq_add_distances(fourth, four, (b << 7) & mask);
            v += 16;
        }
#endif
        while (v != end) {
            const uint8_t *const stop = (end - v > 16) ? v + 16 : end;
            uint32_t a = (uint32_t)weights[0];
            uint32_t b = (uint32_t)weights[1];
            weights += step;
            do {
                const uint32_t four = bitq_word(v);
                first = bitq_add_distances(first, four, a & mask);
                second = bitq_add_distances(second, four, (a << 4) & mask);
                third = bitq_add_distances(third, four, b & mask);
                fourth = bitq_add_distances(fourth, four, (b << 4) & mask);
                a <<= 1;
                b <<= 1;
                v += 4;
            } while (v != stop);
        }
        sums[0] = first;
        sums[1] = second;
        sums[2] = third;
        sums[3] = fourth;
        sums += 4;
        left -= left < 4u ? left : 4u;
    }
}
