#include "bitq.h"

/* The sum of the squared differences of two values of one type. */
int32_t bitq_squared_error(const uint8_t *first, uint32_t flip, const uint8_t *second, uint32_t other_flip,
                           uint32_t count)
{
    int32_t sum = 0;
    for (uint32_t i = 0; i < count; ++i) {
        const int32_t difference =
            bitq_signed((uint32_t)first[i] ^ flip) - bitq_signed((uint32_t)second[i] ^ other_flip);
        sum += difference * difference;
    }
    return sum;
}
