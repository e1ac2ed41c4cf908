#include "bitq.h"

/* The largest of each window, channel by channel, where no window reaches into padding and no byte is flipped. */
void bitq_max_inside(const bitq_window *window, const uint8_t *x, uint8_t *y)
{
    const uint32_t channels = window->channels;
    const uint32_t row = window->width * channels;
    for (uint32_t out_y = window->out_height; out_y != 0u; --out_y) {
        const uint8_t *corner = x;
        for (uint32_t out_x = window->out_width; out_x != 0u; --out_x) {
            const uint8_t *next = corner + window->stride_x * channels;
            for (uint32_t channel = channels; channel != 0u; --channel) {
                const uint8_t *line = corner;
                uint32_t best = 0;
                for (uint32_t ky = window->kernel_height; ky != 0u; --ky) {
                    const uint8_t *v = line;
                    for (uint32_t kx = window->kernel_width; kx != 0u; --kx) {
                        best = *v > best ? *v : best;
                        v += channels;
                    }
                    line += row;
                }
                *y++ = (uint8_t)best;
                ++corner;
            }
            corner = next;
        }
        x += window->stride_y * row;
    }
}
