#include "bitq.h"

/* A function of one byte, from its table. */
void bitq_lookup(const uint8_t *table, uint32_t flip, const uint8_t *x, uint8_t *y, uint32_t count)
{
    for (; count != 0u; --count) {
        *y++ = table[(uint32_t)*x++ ^ flip];
    }
}
