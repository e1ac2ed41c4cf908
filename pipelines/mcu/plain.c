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

static const int16_t curve[65] = {
    /* 16384 * tanh(i / 16), rounded; beyond 63 it stays. */
    0, 1023, 2037, 3036, 4013, 4960, 5871, 6743, 7571, 8353, 9087, 9771, 10406, 10993, 11533, 12027,
    12478, 12888, 13260, 13595, 13898, 14171, 14415, 14634, 14830, 15005, 15161, 15300, 15423, 15533, 15631, 15718,
    15795, 15863, 15923, 15977, 16024, 16066, 16103, 16136, 16165, 16190, 16213, 16233, 16251, 16266, 16280, 16292,
    16303, 16312, 16321, 16328, 16335, 16341, 16346, 16350, 16354, 16358, 16361, 16363, 16366, 16368, 16370, 16372,
    16372,
};

/* 2^30 * tanh(16 * value / 2^bits) */
static int32_t tanh30(int32_t value, int32_t bits)
{
    const int32_t rest = ((value & ((1 << bits) - 1)) >> (bits - 15)) + 1;
    int32_t index = value >> bits;
    index = index < -64 ? -64 : index > 63 ? 63 : index;
    if (index < 0) {
        return -curve[-index] * 65536 + 2 * (curve[-index] - curve[-index - 1]) * rest;
    }
    return curve[index] * 65536 + 2 * (curve[index + 1] - curve[index]) * rest;
}

static int32_t sigmoid15(int32_t value, int32_t fraction)
{
    return 16384 + (tanh30(value, fraction - 3) >> 16);
}

static int32_t part(const int8_t *w, int32_t bias, int32_t inputs, int32_t multiplier, const int8_t *x)
{
    int32_t sum = bias;
    for (int32_t i = 0; i < inputs; ++i) {
        sum += w[i] * x[i];
    }
    return sum * multiplier;
}

static void gru(const int8_t *input_w, const int32_t *input_bias, int32_t input_multiplier, const int8_t *state_w,
                const int32_t *state_bias, int32_t state_multiplier, int32_t steps, int32_t inputs, int32_t units,
                int32_t fraction, int32_t narrow, const int8_t *x, int8_t *y, int32_t *state, int32_t *a, int32_t *b)
{
    for (int32_t i = 0; i < units; ++i) {
        state[i] = 0;
        y[i] = 0;
    }
    for (int32_t step = 0; step < steps; ++step) {
        for (int32_t i = 0; i < 3 * units; ++i) {
            a[i] = part(input_w + i * inputs, input_bias[i], inputs, input_multiplier, x);
            b[i] = part(state_w + i * units, state_bias[i], units, state_multiplier, y);
        }
        for (int32_t i = 0; i < units; ++i) {
            const int32_t reset = sigmoid15(a[i] + b[i], fraction);
            const int32_t update = sigmoid15(a[units + i] + b[units + i], fraction);
            const int32_t kept = (reset * (b[2 * units + i] >> narrow)) >> (15 - narrow);
            const int32_t fresh = tanh30(a[2 * units + i] + kept, fraction - 4);
            int32_t out;
            state[i] = fresh + update * (2 * ((state[i] - fresh) >> 16) + 1);
            out = (state[i] + (1 << 22)) >> 23;
            y[i] = (int8_t)(out < -128 ? -128 : out > 127 ? 127 : out);
        }
        x += inputs;
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
