#include "bitq.h"

/* Gathers the inputs of one place into the patch, with their sum, and lets the kernel compute all channels there.
 *
 * A row of the patch is a run of bytes of the channels-last input. Positions before the input wrap to huge unsigned
 * numbers, so one comparison tells padding on either side.
 */
void bitq_conv(const bitq_convolution *layer, const uint8_t *x, uint8_t *patch, void *y)
{
    const bitq_window *const window = &layer->window;
    const uint32_t row = (uint32_t)window->width * window->channels;
    const uint32_t span = (uint32_t)window->kernel_width * window->channels;
    const uint32_t step = (uint32_t)window->stride_x * window->channels;
    const uint32_t left = (uint32_t)window->left * window->channels;
    const uint32_t flip = window->flip;
    uint32_t first = 0u - window->top;
    for (uint32_t out_y = window->out_height; out_y != 0u; --out_y) {
        uint32_t start = 0u - left;
        for (uint32_t out_x = window->out_width; out_x != 0u; --out_x) {
            uint8_t *next = patch;
            uint32_t total = 0;
            for (uint32_t ky = 0; ky < window->kernel_height; ++ky) {
                const uint32_t line = first + ky;
                const uint32_t limit = line < window->height ? row : 0u;
                const uint32_t base = line * row;
                uint32_t at = start;
#if !defined(__OPTIMIZE_SIZE__)
                if (start < limit && limit - start >= span) {
                    const uint8_t *from = &x[base + start];
                    const uint8_t *const end = from + span;
                    while (from != end) {
                        const uint32_t value = (uint32_t)*from++ ^ flip;
                        total += value;
                        *next++ = (uint8_t)value;
                    }
                    continue;
                }
#endif
                for (; at != start + span; ++at) {
                    uint32_t value = window->zero;
                    if (at < limit) {
                        value = (uint32_t)x[base + at] ^ flip;
                    }
                    total += value;
                    *next++ = (uint8_t)value;
                }
            }
            layer->linear.kernel(&layer->linear, patch, total, y);
            y = (uint8_t *)y + (uint32_t)layer->linear.outputs * layer->linear.out_bytes;
            start += step;
        }
        first += window->stride_y;
    }
}
