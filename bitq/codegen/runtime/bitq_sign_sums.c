#include "bitq.h"
#if defined(__ARM_FEATURE_DSP)
#include <arm_acle.h>
#endif

/* Adds the distance of each byte of x, at most 128, from the same byte of mask, which is 0 or 128: x, or 128 - x. */
static inline uint32_t add_distances(uint32_t sum, uint32_t x, uint32_t mask)
{
#if defined(__ARM_FEATURE_DSP)
    return __usada8(x, mask, sum);
#else
    const uint32_t ones = mask >> 7;
    const uint32_t turned = (x ^ (mask - ones)) + ones;
    const uint32_t pairs = (turned & UINT32_C(0xFF00FF)) + ((turned >> 8) & UINT32_C(0xFF00FF));
    return sum + (pairs & 0xFFFFu) + (pairs >> 16);
#endif
}

/* The sums of weight * (x - 64); weights of 1 bit, inputs of 7 bits, outputs a multiple of four.
 *
 * Of four outputs the signs for 32 inputs are four words; bit 7 - k of byte i is set for -1 at input 4 * k + i. What is
 * added is x, or 128 - x for -1: so it counts 128 for each -1, and begins with -64 for each input. Inputs are read as
 * whole words; those behind the last one are 0. */
void bitq_sign_sums(const int32_t *weights, const uint8_t *x, uint32_t inputs, uint32_t outputs, uint32_t *sums)
{
    const uint32_t words = (inputs + 3u) >> 2;
#if defined(__ARM_FEATURE_DSP)
    const uint8_t *const whole = x + ((words >> 3) << 5);
#endif
    const uint8_t *const end = x + (words << 2);
    const uint32_t mask = bitq_hidden(0x80808080u);
    for (uint32_t left = outputs; left != 0u; left -= 4u) {
        uint32_t first = 0u - (inputs << 6);
        uint32_t second = first;
        uint32_t third = first;
        uint32_t fourth = first;
        const uint8_t *v = x;
#if defined(__ARM_FEATURE_DSP)
        while (v != whole) {
            const uint32_t a = (uint32_t)weights[0];
            const uint32_t b = (uint32_t)weights[1];
            const uint32_t c = (uint32_t)weights[2];
            const uint32_t d = (uint32_t)weights[3];
            uint32_t four;
            four = bitq_word(v);
            first = add_distances(first, four, a & mask);
            second = add_distances(second, four, b & mask);
            third = add_distances(third, four, c & mask);
            fourth = add_distances(fourth, four, d & mask);
            four = bitq_word(v + 4);
            first = add_distances(first, four, (a << 1) & mask);
            second = add_distances(second, four, (b << 1) & mask);
            third = add_distances(third, four, (c << 1) & mask);
            fourth = add_distances(fourth, four, (d << 1) & mask);
            four = bitq_word(v + 8);
            first = add_distances(first, four, (a << 2) & mask);
            second = add_distances(second, four, (b << 2) & mask);
            third = add_distances(third, four, (c << 2) & mask);
            fourth = add_distances(fourth, four, (d << 2) & mask);
            four = bitq_word(v + 12);
            first = add_distances(first, four, (a << 3) & mask);
            second = add_distances(second, four, (b << 3) & mask);
            third = add_distances(third, four, (c << 3) & mask);
            fourth = add_distances(fourth, four, (d << 3) & mask);
            four = bitq_word(v + 16);
            first = add_distances(first, four, (a << 4) & mask);
            second = add_distances(second, four, (b << 4) & mask);
            third = add_distances(third, four, (c << 4) & mask);
            fourth = add_distances(fourth, four, (d << 4) & mask);
            four = bitq_word(v + 20);
            first = add_distances(first, four, (a << 5) & mask);
            second = add_distances(second, four, (b << 5) & mask);
            third = add_distances(third, four, (c << 5) & mask);
            fourth = add_distances(fourth, four, (d << 5) & mask);
            four = bitq_word(v + 24);
            first = add_distances(first, four, (a << 6) & mask);
            second = add_distances(second, four, (b << 6) & mask);
            third = add_distances(third, four, (c << 6) & mask);
            fourth = add_distances(fourth, four, (d << 6) & mask);
            four = bitq_word(v + 28);
            first = add_distances(first, four, (a << 7) & mask);
            second = add_distances(second, four, (b << 7) & mask);
            third = add_distances(third, four, (c << 7) & mask);
            fourth = add_distances(fourth, four, (d << 7) & mask);
            v += 32;
            weights += 4;
        }
#endif
        while (v != end) {
#if defined(__ARM_FEATURE_DSP)
            const uint8_t *const stop = end;
#else
            const uint8_t *const stop = (end - v > 32) ? v + 32 : end;
#endif
            uint32_t a = (uint32_t)weights[0];
            uint32_t b = (uint32_t)weights[1];
            uint32_t c = (uint32_t)weights[2];
            uint32_t d = (uint32_t)weights[3];
            weights += 4;
            do {
                const uint32_t four = bitq_word(v);
                first = add_distances(first, four, a & mask);
                second = add_distances(second, four, b & mask);
                third = add_distances(third, four, c & mask);
                fourth = add_distances(fourth, four, d & mask);
                a <<= 1;
                b <<= 1;
                c <<= 1;
                d <<= 1;
                v += 4;
            } while (v != stop);
        }
        sums[0] = first;
        sums[1] = second;
        sums[2] = third;
        sums[3] = fourth;
        sums += 4;
    }
}
