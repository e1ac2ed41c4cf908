#include "bitq.h"

/* Gathers the inputs of one place. Rows and bytes before the input wrap to huge unsigned numbers. */
static void gather(const bitq_window *window, const uint8_t *x, uint32_t line, uint32_t start, uint32_t *to)
{
    const uint32_t row = (uint32_t)window->width * window->channels;
    const uint32_t span = (uint32_t)window->kernel_width * window->channels;
    const uint32_t last = line + window->kernel_height;
    const uint32_t zero = window->zero * UINT32_C(0x01010101);
    const uint32_t is_inside = ((start < row) && (row - start >= span)) ? 1u : 0u;
    for (; line != last; ++line) {
        if ((is_inside != 0u) && (line < window->height)) {
            const uint8_t *from = x + line * row + start;
            const uint8_t *const end = from + span;
            do {
                *to = bitq_word(from);
                to += 2;
                BITQ_OPAQUE(to);
                from += 4;
            } while (from != end);
        } else {
            const uint32_t limit = line < window->height ? row : 0u;
            for (uint32_t at = start; at != start + span; at += 4u) {
                *to = at < limit ? bitq_word(x + line * row + at) : zero;
                to += 2;
                BITQ_OPAQUE(to);
            }
        }
    }
}

/* A convolution whose weights have 1 bit and whose inputs have 7, at two places at once. The inputs of a place are
 * whole words in each row of the window; a word behind them, where their number is odd, is 0. */
void bitq_conv_signs(const bitq_sign_convolution *layer, bitq_ending *ending, const uint8_t *x, uint32_t *work,
                     void *y)
{
    const bitq_window *const window = &layer->window;
    uint32_t *const sums = work + 2u * (uint32_t)layer->words;
    uint8_t *to = y;
    uint32_t place = 0;
    uint32_t line = 0u - window->top;
    sums[-2] = 0;
    sums[-1] = 0;
    for (uint32_t out_y = window->out_height; out_y != 0u; --out_y) {
        uint32_t start = 0u - (uint32_t)window->left * window->channels;
        for (uint32_t out_x = window->out_width; out_x != 0u; --out_x) {
            gather(window, x, line, start, work + place);
            start += (uint32_t)window->stride_x * window->channels;
            ++place;
            if ((place == 2u) || ((out_x == 1u) && (out_y == 1u))) {
                const uint32_t *done = sums;
                bitq_sign_places(layer, work, sums);
                for (; place != 0u; --place) {
                    ending(done, to);
                    done += layer->outputs;
                    to += layer->step;
                }
            }
        }
        line += window->stride_y;
    }
}
