#include "bitq.h"

/* One weight, as stored: from bit planes, nibbles or bytes; `planes` says how many bits it has. */
static uint32_t field_of(const bitq_linear *layer, const uint8_t *row, uint32_t index)
{
    uint32_t field = 0;
    if (layer->planes == 8u) {
        return row[index];
    }
    if (layer->planes == 4u) {
        return ((uint32_t)row[index >> 1] >> ((index & 1u) << 2)) & 15u;
    }
    for (uint32_t plane = layer->planes; plane != 0u; --plane) {
        field += field + (((uint32_t)row[index >> 3] >> (index & 7u)) & 1u);
        row += layer->row_bytes;
    }
    return field;
}

/* A convolution in groups of channels, or with gaps between the taps.
 *
 * Each output channel's weights are unpacked once and then slide over the input, which is read where it is. Taps on
 * padding are left out: every input counts relative to its zero, so they would add nothing.
 */
void bitq_grouped(const bitq_groups *layer, const uint8_t *x, int8_t *taps, void *y)
{
    const bitq_linear *const linear = &layer->convolution.linear;
    const bitq_window *const window = &layer->convolution.window;
    const uint32_t depth = layer->group_inputs;
    const uint32_t row_size = linear->planes < 4u ? (uint32_t)linear->planes * linear->row_bytes : linear->row_bytes;
    const uint8_t *row = linear->weights;
    const uint8_t *group = x;
    uint32_t left = layer->group_outputs;
    for (uint32_t output = 0; output < linear->outputs; ++output) {
        uint8_t *to = y;
        uint32_t first_y = 0u - window->top;
        for (uint32_t i = 0; i < linear->inputs; ++i) {
            taps[i] = (int8_t)(bitq_signed(field_of(linear, row, i) << linear->widen) - (int32_t)linear->offset);
        }
        for (uint32_t out_y = window->out_height; out_y != 0u; --out_y) {
            uint32_t first_x = 0u - window->left;
            for (uint32_t out_x = window->out_width; out_x != 0u; --out_x) {
                const int8_t *tap = taps;
                int32_t sum = 0;
                uint32_t in_y = first_y;
                for (uint32_t ky = window->kernel_height; ky != 0u; --ky) {
                    uint32_t in_x = first_x;
                    for (uint32_t kx = window->kernel_width; kx != 0u; --kx) {
                        if ((in_y < window->height) && (in_x < window->width)) {
                            const uint8_t *v = group + (in_y * window->width + in_x) * window->channels;
                            for (uint32_t i = 0; i < depth; ++i) {
                                sum += tap[i] * (bitq_signed((uint32_t)v[i] ^ window->flip) - (int32_t)window->zero);
                            }
                        }
                        tap += depth;
                        in_x += layer->dilation_x;
                    }
                    in_y += layer->dilation_y;
                }
                bitq_finish(linear, output, (uint32_t)sum, to);
                to += (uint32_t)linear->outputs * linear->out_bytes;
                first_x += window->stride_x;
            }
            first_y += window->stride_y;
        }
        row += row_size;
        --left;
        if (left == 0u) {
            group += depth;
            left = layer->group_outputs;
        }
    }
}
