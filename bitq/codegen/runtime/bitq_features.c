#include "bitq.h"

/* floor(sqrt(value)), bit by bit. */
static int32_t root(uint32_t value)
{
    uint32_t result = 0;
    for (uint32_t bit = UINT32_C(1) << 30; bit != 0u; bit >>= 2) {
        const uint32_t trial = result + bit;
        result >>= 1;
        if (value >= trial) {
            value -= trial;
            result += bit;
        }
    }
    return (int32_t)result;
}

/* Statistics of windows of a signal, channel by channel. */
void bitq_features(const bitq_statistics *layer, const uint8_t *x, int16_t *y)
{
    const uint32_t channels = layer->channels;
    const uint32_t count = layer->window;
    const uint32_t flip = layer->flip;
    const uint8_t *start = x + layer->skipped;
    for (uint32_t window = 0; window < layer->windows; ++window) {
        for (uint32_t channel = 0; channel < channels; ++channel) {
            const uint8_t *v = start + channel;
            int32_t before = bitq_signed(*v ^ flip) - 128;
            int32_t low = before;
            int32_t high = before;
            int32_t total = 0;
            int32_t energy = 0;
            int32_t crossings = 0;
            int32_t difference = 0;
            int32_t found[BITQ_STATISTICS];
            for (uint32_t i = 0; i < count; ++i) {
                const int32_t value = bitq_signed(v[i * channels] ^ flip) - 128;
                total += value;
                energy += value * value;
                if (value < low) {
                    low = value;
                }
                if (value > high) {
                    high = value;
                }
                crossings += (value < 0) != (before < 0) ? 1 : 0;
                difference += value > before ? value - before : before - value;
                before = value;
            }
            energy *= (int32_t)count;
            const int32_t variance = energy - total * total;
            found[0] = total;
            found[1] = (layer->kinds & 0x02u) != 0u ? root((uint32_t)variance) : 0;
            found[2] = (layer->kinds & 0x04u) != 0u ? root((uint32_t)energy) : 0;
            found[3] = low;
            found[4] = high;
            found[5] = high - low;
            found[6] = crossings;
            found[7] = difference;
            for (uint32_t kind = 0; kind < BITQ_STATISTICS; ++kind) {
                if (((layer->kinds >> kind) & 1u) != 0u) {
                    *y = (int16_t)(found[kind] * bitq_signed(UINT32_C(1) << layer->shift[kind]));
                    ++y;
                }
            }
        }
        start += count * channels;
    }
}
