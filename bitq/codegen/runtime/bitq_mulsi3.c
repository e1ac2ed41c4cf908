/* What compilers call to multiply on a RISC-V core without a multiplier; empty on every other core.
 *
 * With it nothing of a compiler's runtime library is linked. Its name is the compiler's, not ours to choose. */
#include "bitq.h"

#if defined(__riscv) && !defined(__riscv_mul)
uint32_t __mulsi3(uint32_t first, uint32_t second);

/* The product modulo 2^32: as many steps as the second factor has bits, counted without the copies of its sign. */
uint32_t __mulsi3(uint32_t first, uint32_t second)
{
    uint32_t product = 0;
    if ((second >> 31) != 0u) {
        first = 0u - first;
        second = 0u - second;
    }
    while (second != 0u) {
        if ((second & 1u) != 0u) {
            product += first;
        }
        first <<= 1;
        second >>= 1;
    }
    return product;
}
#endif
