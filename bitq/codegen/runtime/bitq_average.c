#include "bitq.h"

/* Sums each window, channel by channel, and leaves the division to the rescale. Windows lie inside the input. */
void bitq_average(const bitq_window *window, const bitq_rescale *rescale, const uint8_t *x, void *y)
{
    const uint32_t channels = window->channels;
    const uint32_t row = window->width * channels;
    const uint32_t flip = window->flip;
    for (uint32_t out_y = window->out_height; out_y != 0u; --out_y) {
        const uint8_t *corner = x;
        for (uint32_t out_x = window->out_width; out_x != 0u; --out_x) {
            for (uint32_t channel = 0; channel < channels; ++channel) {
                const uint8_t *line = corner + channel;
                uint32_t sum = 0;
                for (uint32_t ky = window->kernel_height; ky != 0u; --ky) {
                    const uint8_t *v = line;
                    for (uint32_t kx = window->kernel_width; kx != 0u; --kx) {
                        sum += (uint32_t)*v ^ flip;
                        v += channels;
                    }
                    sum -= (uint32_t)window->kernel_width * window->zero;
                    line += row;
                }
                bitq_put(rescale, channel, bitq_signed(sum), y);
            }
            corner += window->stride_x * channels;
            y = (uint8_t *)y + channels * rescale->out_bytes;
        }
        x += window->stride_y * row;
    }
}
