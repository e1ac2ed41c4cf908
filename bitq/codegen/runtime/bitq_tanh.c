#include "bitq.h"

/* In a file without the curve of the code for speed, which has points of its own. */
#if defined(__OPTIMIZE_SIZE__)
/* 16384 * tanh(i / 16), rounded; beyond 63 it stays. */
static const int16_t bitq_points[65] = {
    0, 1023, 2037, 3036, 4013, 4960, 5871, 6743, 7571, 8353, 9087, 9771, 10406, 10993, 11533, 12027,
    12478, 12888, 13260, 13595, 13898, 14171, 14415, 14634, 14830, 15005, 15161, 15300, 15423, 15533, 15631, 15718,
    15795, 15863, 15923, 15977, 16024, 16066, 16103, 16136, 16165, 16190, 16213, 16233, 16251, 16266, 16280, 16292,
    16303, 16312, 16321, 16328, 16335, 16341, 16346, 16350, 16354, 16358, 16361, 16363, 16366, 16368, 16370, 16372,
    16372,
};

int32_t bitq_tanh(int32_t value, uint32_t bits)
{
    const int32_t rest = bitq_signed(((uint32_t)value << (32u - bits)) >> 17) + 1;
    const int32_t sign = value < 0 ? -1 : 0;
    int32_t index = bitq_floor_shift(value, bits) ^ sign;
    int32_t first;
    int32_t more;
    if (index > 63) {
        index = 63;
    }
    first = bitq_points[index];
    more = bitq_points[index + 1] - first;
    if (sign != 0) {
        first = -first - more;
    }
    return (16384 + first) * 65536 + 2 * more * rest;
}
#endif
