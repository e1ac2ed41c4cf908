#include "bitq.h"

/* Padding never wins: places outside the input are left out, and 0 is the least byte. */
void bitq_max_pool(const bitq_window *window, const uint8_t *x, uint8_t *y)
{
    const uint32_t channels = window->channels;
    const uint32_t flip = window->flip;
    uint32_t first_y = 0u - window->top;
    for (uint32_t out_y = window->out_height; out_y != 0u; --out_y) {
        uint32_t first_x = 0u - window->left;
        for (uint32_t out_x = window->out_width; out_x != 0u; --out_x) {
            uint8_t *const end = y + channels;
            uint8_t *best = y;
            while (best != end) {
                *best = 0;
                ++best;
            }
            for (uint32_t in_y = first_y; in_y != first_y + window->kernel_height; ++in_y) {
                for (uint32_t in_x = first_x; in_x != first_x + window->kernel_width; ++in_x) {
                    if ((in_y < window->height) && (in_x < window->width)) {
                        const uint8_t *v = x + (in_y * window->width + in_x) * channels;
                        best = y;
                        while (best != end) {
                            const uint32_t value = (uint32_t)*v++ ^ flip;
                            if (value > *best) {
                                *best = (uint8_t)value;
                            }
                            ++best;
                        }
                    }
                }
            }
            y = end;
            first_x += window->stride_x;
        }
        first_y += window->stride_y;
    }
}
