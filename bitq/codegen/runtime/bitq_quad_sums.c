#include "bitq.h"
#if defined(__ARM_FEATURE_DSP)

/* Adds the products of four bytes to a sum: those of the even ones and those of the odd ones. */
static inline uint32_t add_products(uint32_t sum, const uint8_t *weights, uint32_t even, uint32_t odd)
{
    const uint32_t word = bitq_word(weights);
    int32_t added = __smlad(bitq_signed(word & UINT32_C(0xFF00FF)), bitq_signed(even), bitq_signed(sum));
    added = __smlad(bitq_signed((word >> 8) & UINT32_C(0xFF00FF)), bitq_signed(odd), added);
    return (uint32_t)added;
}
#endif

/* The sums of weight * x of all outputs; weights of 8 bits, stored as weight + 128, inputs a multiple of four.
 *
 * Of four outputs the weights for the same four inputs lie side by side; those of the outputs that are left over, row
 * by row. */
void bitq_quad_sums(const uint8_t *weights, const uint8_t *x, uint32_t flip, uint32_t inputs, uint32_t outputs,
                    uint32_t *sums)
{
    const uint8_t *const end = x + inputs;
    uint32_t start = 0;
    for (const uint8_t *v = x; v != end; ++v) {
        start -= (uint32_t)*v ^ flip;
    }
    start <<= 7;
    for (; outputs >= 4u; outputs -= 4u) {
        uint32_t first = start;
        uint32_t second = start;
        uint32_t third = start;
        uint32_t fourth = start;
        for (const uint8_t *v = x; v != end; v += 4) {
#if defined(__ARM_FEATURE_DSP)
            const uint32_t word = bitq_word(v) ^ (flip * UINT32_C(0x01010101));
            const uint32_t even = word & UINT32_C(0xFF00FF);
            const uint32_t odd = (word >> 8) & UINT32_C(0xFF00FF);
            first = add_products(first, weights, even, odd);
            second = add_products(second, weights + 4, even, odd);
            third = add_products(third, weights + 8, even, odd);
            fourth = add_products(fourth, weights + 12, even, odd);
#else
            uint32_t value = (uint32_t)v[0] ^ flip;
            first += weights[0] * value;
            second += weights[4] * value;
            third += weights[8] * value;
            fourth += weights[12] * value;
            value = (uint32_t)v[1] ^ flip;
            first += weights[1] * value;
            second += weights[5] * value;
            third += weights[9] * value;
            fourth += weights[13] * value;
            value = (uint32_t)v[2] ^ flip;
            first += weights[2] * value;
            second += weights[6] * value;
            third += weights[10] * value;
            fourth += weights[14] * value;
            value = (uint32_t)v[3] ^ flip;
            first += weights[3] * value;
            second += weights[7] * value;
            third += weights[11] * value;
            fourth += weights[15] * value;
#endif
            weights += 16;
        }
        *sums++ = first;
        *sums++ = second;
        *sums++ = third;
        *sums++ = fourth;
    }
    for (; outputs != 0u; --outputs) {
        uint32_t sum = start;
        for (const uint8_t *v = x; v != end; ++v) {
            sum += *weights++ * ((uint32_t)*v ^ flip);
        }
        *sums++ = sum;
    }
}
