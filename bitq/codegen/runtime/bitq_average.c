#include "bitq.h"

/* Sums each window, channel by channel, and leaves the division to the rescale. Windows lie inside the input. */
void bitq_average(const bitq_window *window, const bitq_rescale *rescale, const uint8_t *x, void *y)
{
    const uint32_t channels = window->channels;
    const uint32_t zero = (uint32_t)window->kernel_height * window->kernel_width * window->zero;
    uint32_t index = 0;
    for (uint32_t out_y = 0; out_y < window->out_height; ++out_y) {
        for (uint32_t out_x = 0; out_x < window->out_width; ++out_x) {
            const uint32_t corner = out_y * window->stride_y * window->width + out_x * window->stride_x;
            for (uint32_t channel = 0; channel < channels; ++channel) {
                uint32_t sum = 0u - zero;
                for (uint32_t ky = 0; ky < window->kernel_height; ++ky) {
                    const uint8_t *v = x + (corner + ky * window->width) * channels + channel;
                    for (uint32_t kx = 0; kx < window->kernel_width; ++kx) {
                        sum += (uint32_t)v[kx * channels] ^ window->flip;
                    }
                }
                bitq_store(y, index, bitq_rescaled(rescale, channel, bitq_signed(sum)), rescale->out_bytes);
                ++index;
            }
        }
    }
}
