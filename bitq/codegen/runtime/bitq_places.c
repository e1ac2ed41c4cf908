#include "bitq.h"

/* Lets a layer's own code compute all channels at each place of the output.
 *
 * Where the window lies within the input, the code reads it there, each row of it `row` bytes behind the last one.
 * At the edges the window is gathered into the patch first, with zeros for what lies outside.
 */
void bitq_places(const bitq_window *window, bitq_place *place, const uint8_t *x, uint8_t *patch, void *y,
                 uint32_t step)
{
    const uint32_t row = (uint32_t)window->width * window->channels;
    const uint32_t span = (uint32_t)window->kernel_width * window->channels;
    const uint32_t stride = (uint32_t)window->stride_x * window->channels;
    uint8_t *to = y;
    uint32_t first = 0u - window->top;
    for (uint32_t out_y = window->out_height; out_y != 0u; --out_y) {
        const uint32_t inside = (first < window->height) && (window->height - first >= window->kernel_height);
        uint32_t start = 0u - (uint32_t)window->left * window->channels;
        for (uint32_t out_x = window->out_width; out_x != 0u; --out_x) {
            if ((inside != 0u) && (start < row) && (row - start >= span)) {
                place(x + (first * row + start), row, to);
            } else {
                uint8_t *next = patch;
                for (uint32_t line = first; line != first + window->kernel_height; ++line) {
                    const uint32_t limit = line < window->height ? row : 0u;
                    for (uint32_t at = start; at != start + span; ++at) {
                        *next++ = at < limit ? x[line * row + at] : window->zero;
                    }
                }
                place(patch, span, to);
            }
            to += step;
            start += stride;
        }
        first += window->stride_y;
    }
}
