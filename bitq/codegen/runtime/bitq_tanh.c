#include "bitq.h"

/* 32767 * tanh(i / 16), rounded; beyond 4 it stays. */
static const int16_t curve[65] = {
    0, 2045, 4075, 6073, 8025, 9919, 11742, 13486, 15142, 16706, 18173, 19541, 20812, 21986, 23065, 24053, 24955,
    25775, 26518, 27190, 27796, 28340, 28829, 29267, 29659, 30009, 30321, 30599, 30846, 31066, 31261, 31435, 31588,
    31725, 31845, 31952, 32047, 32131, 32205, 32270, 32328, 32380, 32425, 32465, 32500, 32531, 32559, 32583, 32605,
    32624, 32641, 32656, 32669, 32680, 32690, 32699, 32707, 32714, 32720, 32726, 32731, 32735, 32739, 32742, 32745,
};

/* Linear between the entries of the table. */
int32_t bitq_tanh(int32_t value)
{
    uint32_t size = value < 0 ? 0u - (uint32_t)value : (uint32_t)value;
    const int16_t *at;
    int32_t result;
    if (size > 65535u) {
        size = 65535u;
    }
    at = &curve[size >> 10];
    result = at[0] + bitq_floor_shift((at[1] - at[0]) * bitq_signed(size & 1023u) + 512, 10);
    return value < 0 ? -result : result;
}
