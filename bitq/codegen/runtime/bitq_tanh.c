#include "bitq.h"

/* In a file without the curve: code for speed is linked with the curve alone, also beside code for size. */
#if defined(__OPTIMIZE_SIZE__)
int32_t bitq_tanh(int32_t value)
{
    return bitq_on_curve(value);
}
#endif
