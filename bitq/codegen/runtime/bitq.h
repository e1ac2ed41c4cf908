/* The engine's types and the few lines that all kernels share.
 *
 * Activations inside are uint8_t; a signed 8-bit value v is held as v + 128, which is its byte with the top bit
 * flipped. A weight is scale * field - offset with an unsigned field, so one sum of field * x per output is enough:
 *     sum(weight * x) = (sum(field * x) << widen) - offset * sum(x)
 * Sums run modulo 2^32 in uint32_t. The generator proved that their true values fit in int32_t, so they are exact
 * in the end and no step can overflow.
 */
#ifndef BITQ_RUNTIME_H
#define BITQ_RUNTIME_H

#include <stddef.h>
#include <stdint.h>
#if defined(__ARM_FEATURE_DSP) || defined(__ARM_FEATURE_SAT)
#include <arm_acle.h>
#endif

/* What the engine asks of the compiler; C99 leaves both to it, and all compilers for Cortex-M agree. */
typedef char bitq_needs_floor_shift[((-1 >> 1) == -1) ? 1 : -1];
typedef char bitq_needs_two_complement[((int32_t)0xFFFFFFFFu == -1) ? 1 : -1];

/* Hides how a value came about: compilers would add up buckets in another order, for which they lack registers, or
 * copy a tree for each thing that they know from those before it. */
#if defined(__GNUC__)
#define BITQ_OPAQUE(value) __asm__ volatile("" : "+r"(value))
#else
#define BITQ_OPAQUE(value) (void)(value)
#endif

/* A function whose body is long where a core has short instructions alone; elsewhere a call would cost more. */
#if defined(__ARM_ARCH_6M__)
#define BITQ_SHARED static __attribute__((noinline))
#define BITQ_WITHIN static inline __attribute__((always_inline))
#define BITQ_IN_TURN volatile /* read one after the other, for want of registers */
#else
#define BITQ_SHARED static inline
#define BITQ_WITHIN static inline
#define BITQ_IN_TURN
#endif

/* A function that needs all registers for itself: within another one both would lack them. */
#if defined(__GNUC__)
#define BITQ_APART static __attribute__((noinline))
#else
#define BITQ_APART static
#endif

/* y = clip(((acc >> pre_shift) * multiplier + 2^(shift-1)) >> shift, low, high) + zero_point */
typedef struct {
    const int16_t *multiplier; /* one per channel, or one in all */
    int32_t low;               /* relative to the zero point */
    int32_t high;
    int32_t zero_point;
    uint8_t step; /* 1: one multiplier per channel, 0: one in all */
    uint8_t pre_shift;
    uint8_t shift;
    uint8_t out_bytes; /* 1: uint8_t, 4: int32_t, 0: added to the int32_t that is there */
} bitq_rescale;

/* Where a window slides: input, output, kernel, stride, and the padding before the first row and column. */
typedef struct {
    uint16_t height, width, channels;
    uint16_t out_height, out_width;
    uint16_t kernel_height, kernel_width;
    uint16_t stride_y, stride_x;
    uint16_t top, left;
    uint8_t flip; /* xor of every byte read: 0x80 for the caller's int8_t input, else 0 */
    uint8_t zero; /* the byte that stands for 0 */
} bitq_window;

typedef struct bitq_linear bitq_linear;

/* Computes all outputs of a linear layer at one place: x has `inputs` bytes, total is their sum. */
typedef void bitq_kernel(const bitq_linear *layer, const uint8_t *x, uint32_t total, void *y);

#define BITQ_BIAS_INT32 255u

struct bitq_linear {
    bitq_kernel *kernel;
    const uint8_t *weights;
    const void *bias;            /* int16_t, or int32_t if bias_shift is BITQ_BIAS_INT32 */
    const bitq_rescale *rescale; /* NULL: the sums are stored as int32_t */
    uint16_t inputs;
    uint16_t outputs;
    uint16_t row_bytes; /* of one output (and of one of its bit planes) */
    uint8_t planes; /* planes and widen: for bitq_planes */
    uint8_t widen;
    uint8_t offset;
    uint8_t bias_shift; /* left shift of every bias */
    uint8_t out_bytes;
    uint8_t flip; /* xor of every byte read: 0x80 for the caller's int8_t input, else 0 */
};

/* A dense layer by buckets. In its linear layer `planes` counts the bits of a weight, and the kernel is not used. */
typedef struct {
    bitq_linear linear;
    uint16_t groups;  /* computed at once: 1 or 2 */
    uint16_t columns; /* in use of the eight of a group */
} bitq_buckets;

typedef struct {
    bitq_linear linear;
    bitq_window window;
} bitq_convolution;

/* A convolution at two places of a row at once. */
typedef struct {
    bitq_window window;
    uint16_t count;  /* pairs in a row of the output */
    uint16_t apart;  /* bytes from the input of the first place to that of the second one */
    uint16_t stride; /* words from the input, or the sums, of one pair to those of the next one */
    uint16_t length; /* words of one packed row */
    uint16_t step;   /* bytes from the output of one pair to that of the next one */
    uint16_t second; /* bytes from the output of the first place to that of the second one */
    uint16_t skip;   /* bytes to the next row of the output */
    uint16_t gap;    /* rows of the input that no window reads, before each next window */
    uint16_t sets;   /* of sums that the windows of one row share; the pairs read these, not the words. 0: none */
} bitq_pairs;

/* A convolution of weights of 1 bit and inputs of 7 bits. */
typedef struct {
    bitq_window window;
    const int32_t *weights; /* as in bitq_sign_sums */
    uint16_t inputs;
    uint16_t words;   /* that the inputs of one place take, an even number */
    uint16_t outputs; /* with one that is missing to an even number */
    uint16_t step;    /* bytes of the output from place to place */
} bitq_sign_convolution;

/* A convolution whose outputs read only the channels of their group, its taps some places apart. In its linear layer
 * `inputs` counts the taps of one output, `planes` the bits of a weight, and the kernel is not used. */
typedef struct {
    bitq_convolution convolution;
    uint16_t group_inputs, group_outputs; /* channels of one group */
    uint16_t dilation_y, dilation_x;
} bitq_groups;

/* All places of a value, channel by channel. */
typedef struct {
    const bitq_rescale *rescale;
    int32_t start; /* what the sums begin with: takes the zeros away */
    uint16_t places, channels;
} bitq_whole;

/* An addition: (first - zero) * multiplier, the same of the second, and the rescale of their sum. */
typedef struct {
    const bitq_rescale *rescale;
    uint32_t count;
    int16_t multiplier[2];
    uint8_t zero[2];
    uint8_t flip[2]; /* as in bitq_window */
} bitq_sum;

typedef struct bitq_recurrent bitq_recurrent;

/* The parts of all gates at one step, of both matrices, from a step of the input and the output before. A part stands
 * for part / 2^fraction. */
typedef void bitq_parts(const bitq_recurrent *layer, const uint8_t *x, const uint8_t *before, int32_t *parts);

/* One step of a recurrent cell: from the parts of its gates to its state and its output. */
typedef void bitq_cell(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y);

struct bitq_recurrent {
    bitq_parts *parts;
    bitq_cell *cell;
    int32_t start; /* the state that stands for 0 */
    uint16_t inputs, units;
    uint16_t words; /* that parts take */
    uint16_t first, steps; /* the first step, and how many */
    uint8_t fraction;
    uint8_t cell_fraction; /* of the cell of an LSTM */
    uint8_t narrow; /* bits that a GRU drops of what its reset gate multiplies */
    uint8_t shift; /* from the result of the cell to its output */
    uint8_t zero; /* the byte that stands for 0 in the output */
    uint8_t reverse; /* 1: from later steps to earlier ones */
    uint8_t whole; /* 1: the output of every step is kept, 0: that of the last one */
};

/* A recurrent layer with its matrices. */
typedef struct {
    bitq_recurrent layer; /* with bitq_matrices */
    bitq_linear state; /* reads the output of the step before */
    bitq_linear input; /* its parts are added to those of the state */
    uint32_t apart; /* numbers between the first parts of the state and the first ones of the input */
} bitq_recurrent_matrices;

/* Adds inputs to the 256 buckets of one or two groups by the weights of those groups. */
typedef void bitq_fill_kernel(const uint8_t *weights, const uint8_t *x, uint32_t inputs, uint32_t *buckets);

/* Computes all channels of two output places; x holds the input of the first one in the low halves of its words. */
typedef void bitq_pair(const uint32_t *x, void *first, void *second);

/* Turns the sums of all channels at one place into its results. */
typedef void bitq_ending(const uint32_t *sums, void *y);

/* Two lines that meet at zero: (v - zero) * slope + offset, and the rescale of that. */
typedef struct {
    const bitq_rescale *rescale;
    const int16_t *positive; /* slopes: one per channel, or one in all, as the offsets */
    const int16_t *negative;
    const int32_t *offset;
    uint32_t places;
    uint16_t channels;
    uint8_t step; /* 1: one per channel, 0: one in all */
    uint8_t zero;
    uint8_t flip;
} bitq_slopes;

/* A product: (first - zero) * (second - zero), and the rescale of that. */
typedef struct {
    const bitq_rescale *rescale;
    uint32_t places;
    uint16_t channels;
    uint16_t place_step;  /* how far the second value moves on from place to place, */
    uint8_t channel_step; /* and from channel to channel */
    uint8_t zero[2];
    uint8_t flip[2];
} bitq_product;

/* Elements at regular distances: the sizes of the result, and a step in the input for each. */
typedef struct {
    int32_t step[3];
    uint16_t size[3];
} bitq_picks;

/* A border: sizes in bytes of the input's rows and of what is added around them. */
typedef struct {
    uint16_t height, row;
    uint16_t top, bottom, left, right; /* rows, rows, bytes, bytes */
    uint8_t value;
    uint8_t flip;
} bitq_border;

#define BITQ_STATISTICS 8u

/* Statistics of windows of a signal: sum, n * standard deviation, n * root of the mean square, least, largest, range,
 * changes of sign, sum of absolute differences. */
typedef struct {
    uint16_t skipped; /* bytes before the first window */
    uint16_t window;  /* samples */
    uint16_t channels;
    uint16_t windows;
    uint8_t kinds; /* which of them, a bit each */
    uint8_t shift[BITQ_STATISTICS]; /* left shift of each */
    uint8_t flip;                   /* as in bitq_window */
} bitq_statistics;

bitq_fill_kernel bitq_fill_one;
bitq_fill_kernel bitq_fill_one_signed;
bitq_fill_kernel bitq_fill_two;
bitq_fill_kernel bitq_fill_two_signed;
bitq_kernel bitq_bits;
bitq_kernel bitq_bits_flipped;
bitq_kernel bitq_planes;
bitq_kernel bitq_nibbles;
bitq_kernel bitq_bytes;

void bitq_dense(const bitq_linear *layer, const uint8_t *x, void *y);
/* buckets: room for 64 sums and 256 for each group that is computed at once. */
void bitq_dense_buckets(const bitq_buckets *layer, const uint8_t *x, bitq_fill_kernel *fill, uint32_t *buckets,
                        void *y);
uint32_t bitq_bucket_sums(uint32_t *buckets, uint32_t *rest, uint32_t *sums);
/* rows: room for the packed rows of one window. */
void bitq_conv_pairs(const bitq_pairs *layer, bitq_pair *pair, const uint8_t *x, uint32_t *rows, void *y);
/* The same for a window of one row. row: room for its packed words, or for twice as many if it is made into sums. */
void bitq_conv_row(const bitq_pairs *layer, bitq_pair *pair, const uint8_t *x, uint32_t *row, void *y);
uint32_t *bitq_pack_pairs(const bitq_pairs *layer, const uint8_t *row, uint32_t bytes, uint32_t *to);
void bitq_sign_sums(const int32_t *weights, const uint8_t *x, uint32_t inputs, uint32_t outputs, uint32_t *sums);
/* x: the words of two places; sums: room for all outputs at both. */
void bitq_sign_places(const bitq_sign_convolution *layer, const uint32_t *x, uint32_t *sums);
/* work: room for the patches of two places and their sums. */
void bitq_conv_signs(const bitq_sign_convolution *layer, bitq_ending *ending, const uint8_t *x, uint32_t *work,
                     void *y);
void bitq_quad_sums(const uint8_t *weights, const uint8_t *x, uint32_t flip, uint32_t inputs, uint32_t outputs,
                    uint32_t *sums);
void bitq_sums(const uint32_t *x, uint32_t sets, uint32_t *sums);
void bitq_byte_sums(const uint8_t *x, uint32_t sets, uint32_t *sums);
void bitq_signed_sums(const int8_t *x, uint32_t sets, uint32_t *sums);
/* patch: room for the inputs of one output. */
void bitq_conv(const bitq_convolution *layer, const uint8_t *x, uint8_t *patch, void *y);
/* taps: room for the weights of one output. */
void bitq_grouped(const bitq_groups *layer, const uint8_t *x, int8_t *taps, void *y);
void bitq_add(const bitq_sum *layer, const uint8_t *first, const uint8_t *second, void *y);
/* step: channels of the wider value y. */
void bitq_concat(const uint8_t *x, uint32_t flip, uint32_t places, uint32_t channels, uint8_t *y, uint32_t step);
/* table: indexed by the flipped byte. */
void bitq_lookup(const uint8_t *table, uint32_t flip, const uint8_t *x, uint8_t *y, uint32_t count);
void bitq_halve(const uint8_t *x, uint32_t flip, uint8_t *y, uint32_t count);
void bitq_ramp(const bitq_slopes *layer, const uint8_t *x, void *y);
void bitq_multiply(const bitq_product *layer, const uint8_t *first, const uint8_t *second, void *y);
void bitq_features(const bitq_statistics *layer, const uint8_t *x, int16_t *y);
void bitq_pad(const bitq_border *border, const uint8_t *x, uint8_t *y);
void bitq_pick(const bitq_picks *picks, uint32_t flip, const uint8_t *x, uint8_t *y);
void bitq_max_pool(const bitq_window *window, const uint8_t *x, uint8_t *y);
void bitq_max_inside(const bitq_window *window, const uint8_t *x, uint8_t *y);
/* Also a change of scale on its own, with a window of one element. */
void bitq_mean(const bitq_whole *layer, const uint8_t *x, void *y);
void bitq_average(const bitq_window *window, const bitq_rescale *rescale, const uint8_t *x, void *y);
int32_t bitq_squared_error(const uint8_t *first, uint32_t flip, const uint8_t *second, uint32_t other_flip,
                           uint32_t count);
/* work: room for parts and state. */
void bitq_recur(const bitq_recurrent *layer, const uint8_t *x, int32_t *work, uint8_t *y);
bitq_parts bitq_matrices;
uint32_t bitq_slide(int8_t *window, uint16_t *filled, const int16_t *sample, uint32_t channels, uint32_t length,
                    uint32_t stride);
bitq_cell bitq_rnn;
bitq_cell bitq_relu;
bitq_cell bitq_gru;
bitq_cell bitq_lstm;
/* 2^30 * (1 + tanh(16 * value / 2^bits)); bits is 1..31. It is there where size counts; see bitq_curved. */
int32_t bitq_tanh(int32_t value, uint32_t bits);
extern const uint32_t bitq_curve[128];
int32_t bitq_argmax(const int32_t *x, uint32_t count);
int32_t bitq_argmax_bytes(const uint8_t *x, uint32_t count, uint32_t flip);

void bitq_put(const bitq_rescale *rescale, uint32_t channel, int32_t sum, void *y);
void bitq_finish(const bitq_linear *layer, uint32_t output, uint32_t sum, void *y);

/* The true value of a sum modulo 2^32 that is known to fit in int32_t. */
static inline int32_t bitq_signed(uint32_t value)
{
    return (int32_t)value;
}

/* floor(value / 2^by), also for negative values: the only right shift of a signed value. by is 0..31. */
static inline int32_t bitq_floor_shift(int32_t value, uint32_t by)
{
    return value >> by;
}

/* Four bytes as a word, the lowest first; cores that read words from anywhere load it at once. */
static inline uint32_t bitq_word(const uint8_t *x)
{
    return (uint32_t)x[0] | ((uint32_t)x[1] << 8) | ((uint32_t)x[2] << 16) | ((uint32_t)x[3] << 24);
}

/* Two bytes, so far apart, as a pair: the first one in the low half. */
static inline uint32_t bitq_two(const uint8_t *x, uint32_t apart)
{
    return (uint32_t)x[0] | ((uint32_t)x[apart] << 16);
}

/* The signed halves of a sum of pairs, each within int16_t; a negative low half borrows from the high one. */
static inline int32_t bitq_low_half(uint32_t sum)
{
    return (int16_t)(uint16_t)sum;
}

static inline int32_t bitq_high_half(uint32_t sum)
{
    return bitq_floor_shift(bitq_signed(sum - (uint32_t)bitq_low_half(sum)), 16);
}

/* The sums first +- second +- third +- fourth: those with + second come first, then those with + third, + fourth; and the
 * four of three. */
static inline void bitq_four_sums(uint32_t first, uint32_t second, uint32_t third, uint32_t *sums)
{
    const uint32_t plus = first + second;
    const uint32_t minus = first - second;
    sums[0] = plus + third;
    sums[1] = plus - third;
    sums[2] = minus + third;
    sums[3] = minus - third;
}

static inline void bitq_eight_sums(uint32_t first, uint32_t second, uint32_t third, uint32_t fourth, uint32_t *sums)
{
    const uint32_t plus = first + second;
    const uint32_t minus = first - second;
    const uint32_t both = third + fourth;
    const uint32_t apart = third - fourth;
    sums[0] = plus + both;
    sums[1] = plus + apart;
    sums[2] = plus - apart;
    sums[3] = plus - both;
    sums[4] = minus + both;
    sums[5] = minus + apart;
    sums[6] = minus - apart;
    sums[7] = minus - both;
}

/* The same value, which a compiler holds in a register, for it does not know where it came from. */
static inline uint32_t bitq_hidden(uint32_t value)
{
    BITQ_OPAQUE(value);
    return value;
}

/* Adds or takes one term, in the order of the program: compilers would load many before they add the first. */
static inline uint32_t bitq_plus(uint32_t sum, uint32_t term)
{
    sum += term;
    BITQ_OPAQUE(sum);
    return sum;
}

static inline uint32_t bitq_minus(uint32_t sum, uint32_t term)
{
    sum -= term;
    BITQ_OPAQUE(sum);
    return sum;
}

static inline int32_t bitq_larger(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* gate * value in steps of 1/32768 of a gate, rounded half up; gate is 0..32767 and |value| <= 32767. */
static inline int32_t bitq_times(int32_t gate, int32_t value)
{
    return bitq_floor_shift(gate * value + 16384, 15);
}

/* 2^30 * (1 + tanh(16 * value / 2^bits - 4)), within 12 * 65536..32757 * 65536. The high half of an entry of the curve
 * is the value there, its low half twice what the next one is more. */
static inline int32_t bitq_on_curve(int32_t value, uint32_t bits)
{
#if defined(__ARM_FEATURE_SAT)
    const uint32_t rest = ((uint32_t)value << (32u - bits)) >> 17;
    const uint32_t entry = bitq_curve[__usat(bitq_floor_shift(value, bits), 7)];
#else
    uint32_t index = (uint32_t)value >> bits;
    uint32_t rest = (uint32_t)value << (32u - bits);
    uint32_t entry;
    BITQ_OPAQUE(index);
    BITQ_OPAQUE(rest);
    rest >>= 17;
    if (index > 127u) {
        index = value < 0 ? 0u : 127u;
        BITQ_OPAQUE(index);
    }
    entry = bitq_curve[index];
#endif
#if defined(__ARM_FEATURE_DSP)
    return __smlabb((int32_t)entry, (int32_t)rest, (int32_t)entry);
#else
    return bitq_signed(entry + (entry & 0xFFFFu) * rest);
#endif
}

/* The same of value + 4 * 2^bits / 16; by a call where size counts. */
static inline int32_t bitq_curved(int32_t value, uint32_t bits)
{
#if defined(__OPTIMIZE_SIZE__)
    return bitq_tanh(value, bits);
#else
    return bitq_on_curve(value + bitq_signed(UINT32_C(64) << bits), bits);
#endif
}

/* (1 + tanh(value / 2)) / 2 in steps of 1/32768; value: in steps of 1/2^fraction. */
static inline int32_t bitq_sigmoid(int32_t value, uint32_t fraction)
{
    return bitq_floor_shift(bitq_curved(value, fraction - 3u), 16);
}

/* tanh(value) in steps of 1/16384; value: in steps of 1/2^fraction. */
static inline int32_t bitq_tangent(int32_t value, uint32_t fraction)
{
    return bitq_floor_shift(bitq_curved(value, fraction - 4u), 16) - 16384;
}

/* A GRU's state, h = n + z * (h - n) with n = tanh(a + r * b), from what the curve gives for z and n. Of h - n the
 * high half is multiplied, and the middle of what it stands for. */
static inline int32_t bitq_gru_state(int32_t update, int32_t new, int32_t h)
{
    const int32_t gate = bitq_floor_shift(update, 16);
    int32_t product = gate * bitq_floor_shift(h - new, 16);
    BITQ_OPAQUE(product);
    return new + 2 * product + gate;
}

/* What its reset gate keeps of b, from what the curve gives for r. b takes 16 bits then. */
static inline int32_t bitq_gru_kept(int32_t reset, int32_t b, uint32_t narrow)
{
#if defined(__ARM_FEATURE_DSP)
    const int32_t short_b = (int16_t)bitq_floor_shift(b, narrow);
#else
    const int32_t short_b = bitq_floor_shift(b, narrow);
#endif
    return bitq_floor_shift(bitq_floor_shift(reset, 16) * short_b, 15u - narrow);
}

/* Sums of two matrices in the halves of a word, each times its half of `by`, and a bias. The low one is not negative,
 * so it borrows nothing from the high one. */
static inline int32_t bitq_halves(uint32_t total, uint32_t by, int32_t bias)
{
#if defined(__ARM_FEATURE_DSP)
    return __smlad((int32_t)total, (int32_t)by, bias);
#else
    const uint32_t high = (uint32_t)bitq_floor_shift(bitq_signed(total), 16) * (by >> 16);
    return bitq_signed((total & 0xFFFFu) * (by & 0xFFFFu) + high + (uint32_t)bias);
#endif
}

/* The low half alone, of any sign. */
static inline int32_t bitq_half(uint32_t total, uint32_t by, int32_t bias)
{
#if defined(__ARM_FEATURE_DSP)
    return __smlabb((int32_t)total, (int32_t)by, bias);
#else
    return bitq_signed((uint32_t)bitq_low_half(total) * (by & 0xFFFFu) + (uint32_t)bias);
#endif
}

/* The same where all sums of a matrix have one multiplier: what is added up is multiplied before, unless the core
 * multiplies both halves at once. */
static inline uint32_t bitq_low_word(uint32_t value, uint32_t by)
{
#if defined(__ARM_FEATURE_DSP)
    (void)by;
    return value;
#else
    return value * (by & 0xFFFFu);
#endif
}

static inline uint32_t bitq_high_word(uint32_t value, uint32_t by)
{
#if defined(__ARM_FEATURE_DSP)
    (void)by;
    return value << 16;
#else
    return value * (by >> 16);
#endif
}

static inline int32_t bitq_words(uint32_t total, uint32_t by, int32_t bias)
{
#if defined(__ARM_FEATURE_DSP)
    return bitq_halves(total, by, bias);
#else
    (void)by;
    return bitq_signed(total + (uint32_t)bias);
#endif
}

static inline int32_t bitq_word_alone(uint32_t total, uint32_t by, int32_t bias)
{
#if defined(__ARM_FEATURE_DSP)
    return bitq_half(total, by, bias);
#else
    (void)by;
    return bitq_signed(total + (uint32_t)bias);
#endif
}

/* The result of a cell as an activation: in steps of 2^shift, rounded half up. */
static inline uint8_t bitq_output(int32_t result, uint32_t shift, int32_t zero)
{
    const int32_t half = bitq_signed((UINT32_C(1) << shift) >> 1);
    int32_t value = bitq_floor_shift(result + half, shift) + zero;
    if (value < 0) {
        value = 0;
    }
    if (value > 255) {
        value = 255;
    }
    return (uint8_t)value;
}

/* The same of a GRU's state, which is more by 2^30; less is what that is in steps, less the zero. */
static inline uint8_t bitq_gru_output(int32_t state, uint32_t shift, uint32_t less)
{
    const uint32_t steps = ((uint32_t)state + (UINT32_C(1) << shift >> 1)) >> shift;
#if defined(__ARM_FEATURE_SAT)
    return (uint8_t)__usat(bitq_signed(steps - less), 8);
#else
    uint32_t kept = steps < less ? 0u : steps - less;
    BITQ_OPAQUE(kept);
    return (uint8_t)(kept > 255u ? 255u : kept);
#endif
}

/* How many steps of 2^shift from `first` on a value has reached, 0 to 255. */
static inline uint8_t bitq_steps(int32_t value, int32_t first, uint32_t shift)
{
    int32_t steps = bitq_floor_shift(value - first, shift);
    if (steps < 0) {
        steps = 0;
    }
    if (steps > 255) {
        steps = 255;
    }
    return (uint8_t)steps;
}

/* Adds the distance of each byte of x, at most 128, from the same byte of mask, which is 0 or 128: x, or 128 - x. */
static inline uint32_t bitq_add_distances(uint32_t sum, uint32_t x, uint32_t mask)
{
#if defined(__ARM_FEATURE_DSP)
    return __usada8(x, mask, sum);
#else
    const uint32_t ones = mask >> 7;
    const uint32_t turned = (x ^ (mask - ones)) + ones;
    const uint32_t pairs = (turned & UINT32_C(0xFF00FF)) + ((turned >> 8) & UINT32_C(0xFF00FF));
    return sum + (pairs & 0xFFFFu) + (pairs >> 16);
#endif
}

/* Adds up the inputs whose bit is set, of 8. Bits past the last input are 0, so nothing is read there. The branches
 * depend on weights alone: every inference takes the same path. */
static inline uint32_t bitq_add_eight(uint32_t sum, uint32_t bits, const uint8_t *v, uint32_t flip)
{
    if ((bits & 0x01u) != 0u) {
        sum += v[0] ^ flip;
    }
    if ((bits & 0x02u) != 0u) {
        sum += v[1] ^ flip;
    }
    if ((bits & 0x04u) != 0u) {
        sum += v[2] ^ flip;
    }
    if ((bits & 0x08u) != 0u) {
        sum += v[3] ^ flip;
    }
    if ((bits & 0x10u) != 0u) {
        sum += v[4] ^ flip;
    }
    if ((bits & 0x20u) != 0u) {
        sum += v[5] ^ flip;
    }
    if ((bits & 0x40u) != 0u) {
        sum += v[6] ^ flip;
    }
    if ((bits & 0x80u) != 0u) {
        sum += v[7] ^ flip;
    }
    return sum;
}

/* The same, small where that counts and an input takes more than short instructions. */
static inline uint32_t bitq_add_selected(uint32_t sum, uint32_t bits, const uint8_t *v, uint32_t flip)
{
#if defined(__OPTIMIZE_SIZE__) && !defined(__ARM_ARCH_6M__)
    for (; bits != 0u; bits >>= 4) {
        if ((bits & 1u) != 0u) {
            sum += v[0] ^ flip;
        }
        if ((bits & 2u) != 0u) {
            sum += v[1] ^ flip;
        }
        if ((bits & 4u) != 0u) {
            sum += v[2] ^ flip;
        }
        if ((bits & 8u) != 0u) {
            sum += v[3] ^ flip;
        }
        v += 4;
    }
    return sum;
#else
    return bitq_add_eight(sum, bits, v, flip);
#endif
}

#endif
