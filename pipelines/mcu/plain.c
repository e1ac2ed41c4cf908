/* The yardstick: 8-bit weights, 8-bit activations whose zero is 0, and the loops that anybody would write. The model's
 * calls follow below, with every size a number that the compiler may specialize on. */
#include <stdint.h>

static inline int8_t rescaled(int32_t sum, int32_t before, int32_t multiplier, int32_t shift)
{
    const int32_t value = ((sum >> before) * multiplier + (1 << (shift - 1))) >> shift;
    return (int8_t)(value < 0 ? 0 : value > 127 ? 127 : value);
}

static void dense(const int8_t *w, const int32_t *bias, int32_t inputs, int32_t outputs, const int8_t *x, int32_t *y)
{
    for (int32_t o = 0; o < outputs; ++o) {
        int32_t sum = bias[o];
        for (int32_t i = 0; i < inputs; ++i) {
            sum += *w++ * x[i];
        }
        y[o] = sum;
    }
}

static void relu(const int32_t *x, int32_t count, int32_t before, int32_t multiplier, int32_t shift,
                 int8_t *y)
{
    for (int32_t i = 0; i < count; ++i) {
        y[i] = rescaled(x[i], before, multiplier, shift);
    }
}

static void conv(const int8_t *weights, const int32_t *bias, int32_t height, int32_t width, int32_t channels,
                 int32_t kernel_height, int32_t kernel_width, int32_t stride_y, int32_t stride_x, int32_t top,
                 int32_t left, int32_t out_height, int32_t out_width, int32_t outputs, int32_t before,
                 int32_t multiplier, int32_t shift, const int8_t *x, int8_t *y)
{
    for (int32_t oy = 0; oy < out_height; ++oy) {
        for (int32_t ox = 0; ox < out_width; ++ox) {
            const int8_t *w = weights;
            for (int32_t o = 0; o < outputs; ++o) {
                int32_t sum = bias[o];
                for (int32_t ky = 0; ky < kernel_height; ++ky) {
                    const int32_t iy = oy * stride_y + ky - top;
                    for (int32_t kx = 0; kx < kernel_width; ++kx) {
                        const int32_t ix = ox * stride_x + kx - left;
                        if (iy >= 0 && iy < height && ix >= 0 && ix < width) {
                            const int8_t *v = x + (iy * width + ix) * channels;
                            for (int32_t c = 0; c < channels; ++c) {
                                sum += w[c] * v[c];
                            }
                        }
                        w += channels;
                    }
                }
                *y++ = rescaled(sum, before, multiplier, shift);
            }
        }
    }
}

static void max_pool(int32_t places, int32_t kernel, int32_t channels, const int8_t *x, int8_t *y)
{
    for (int32_t place = 0; place < places; ++place) {
        for (int32_t c = 0; c < channels; ++c) {
            int8_t best = x[c];
            for (int32_t k = 1; k < kernel; ++k) {
                if (x[k * channels + c] > best) {
                    best = x[k * channels + c];
                }
            }
            *y++ = best;
        }
        x += kernel * channels;
    }
}

static void mean(int32_t places, int32_t channels, int32_t before, int32_t multiplier, int32_t shift,
                 const int8_t *x, int8_t *y)
{
    for (int32_t c = 0; c < channels; ++c) {
        int32_t sum = 0;
        for (int32_t i = 0; i < places; ++i) {
            sum += x[i * channels + c];
        }
        y[c] = rescaled(sum, before, multiplier, shift);
    }
}

static int32_t best_of(const int32_t *scores, int32_t count)
{
    int32_t best = 0;
    for (int32_t i = 1; i < count; ++i) {
        if (scores[i] > scores[best]) {
            best = i;
        }
    }
    return best;
}
