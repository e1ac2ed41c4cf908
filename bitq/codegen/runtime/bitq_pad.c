#include "bitq.h"

static uint8_t *fill(uint8_t *y, uint32_t count, uint8_t value)
{
    for (; count != 0u; --count) {
        *y++ = value;
    }
    return y;
}

/* Rows of one byte above and below, and some of it at both ends of every row. */
void bitq_pad(const bitq_border *border, const uint8_t *x, uint8_t *y)
{
    const uint32_t row = (uint32_t)border->left + border->row + border->right;
    y = fill(y, border->top * row, border->value);
    for (uint32_t line = border->height; line != 0u; --line) {
        y = fill(y, border->left, border->value);
        for (uint32_t i = border->row; i != 0u; --i) {
            *y++ = (uint8_t)((uint32_t)*x++ ^ border->flip);
        }
        y = fill(y, border->right, border->value);
    }
    (void)fill(y, border->bottom * row, border->value);
}
