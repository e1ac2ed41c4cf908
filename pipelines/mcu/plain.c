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
    /* 32767 * tanh(i / 16), rounded; beyond 4 it stays. */
    0, 2045, 4075, 6073, 8025, 9919, 11742, 13486, 15142, 16706, 18173, 19541, 20812, 21986, 23065, 24053, 24955,
    25775, 26518, 27190, 27796, 28340, 28829, 29267, 29659, 30009, 30321, 30599, 30846, 31066, 31261, 31435,
    31588, 31725, 31845, 31952, 32047, 32131, 32205, 32270, 32328, 32380, 32425, 32465, 32500, 32531, 32559,
    32583, 32605, 32624, 32641, 32656, 32669, 32680, 32690, 32699, 32707, 32714, 32720, 32726, 32731, 32735,
    32739, 32742, 32745,
};

static int32_t tanh16(int32_t value)
{
    int32_t size = value < 0 ? -value : value;
    int32_t result;
    if (size > 65535) {
        size = 65535;
    }
    result = curve[size >> 10];
    result += ((curve[(size >> 10) + 1] - result) * (size & 1023) + 512) >> 10;
    return value < 0 ? -result : result;
}

static int32_t sigmoid16(int32_t value)
{
    return (32768 + tanh16(value)) >> 1;
}

static int32_t part(const int8_t *w, int32_t bias, int32_t inputs, int32_t before, int32_t multiplier, int32_t shift,
                    const int8_t *x)
{
    int32_t sum = bias;
    for (int32_t i = 0; i < inputs; ++i) {
        sum += w[i] * x[i];
    }
    sum = ((sum >> before) * multiplier + (1 << (shift - 1))) >> shift;
    return sum < -32767 ? -32767 : sum > 32767 ? 32767 : sum;
}

static void gru(const int8_t *input_w, const int32_t *input_bias, int32_t input_before, int32_t input_multiplier,
                int32_t input_shift, const int8_t *state_w, const int32_t *state_bias, int32_t state_before,
                int32_t state_multiplier, int32_t state_shift, int32_t steps, int32_t inputs, int32_t units,
                int32_t scale, const int8_t *x, int8_t *y, int32_t *state, int32_t *a, int32_t *b)
{
    for (int32_t i = 0; i < units; ++i) {
        state[i] = 0;
        y[i] = 0;
    }
    for (int32_t step = 0; step < steps; ++step) {
        for (int32_t i = 0; i < 3 * units; ++i) {
            a[i] = part(input_w + i * inputs, input_bias[i], inputs, input_before, input_multiplier, input_shift, x);
            b[i] = part(state_w + i * units, state_bias[i], units, state_before, state_multiplier, state_shift, y);
        }
        for (int32_t i = 0; i < units; ++i) {
            const int32_t reset = sigmoid16((a[i] + b[i]) * scale);
            const int32_t update = sigmoid16((a[units + i] + b[units + i]) * scale);
            const int32_t sum = a[2 * units + i] + ((reset * b[2 * units + i] + 16384) >> 15);
            const int32_t fresh = tanh16(2 * sum * scale);
            int32_t out;
            state[i] = fresh + ((update * (state[i] - fresh) + 16384) >> 15);
            out = (state[i] + 128) >> 8;
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
