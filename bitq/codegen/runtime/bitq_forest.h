/* Decision trees: complete binary trees of one depth, the nodes of all of them in one table.
 *
 * A tree's nodes count from 1: node i has the children 2 i and 2 i + 1, and a feature above the threshold leads to the
 * second. Every field of bitq_forest is a constant of the model and every function is inline, so that the compiler
 * leaves of this file what the one forest needs.
 */
#ifndef BITQ_FOREST_H
#define BITQ_FOREST_H

#include "bitq.h"

/* Optimizing for size must not undo it: a call costs more than these few instructions. */
#ifdef __GNUC__
#define BITQ_FOREST_INLINE static inline __attribute__((always_inline))
#else
#define BITQ_FOREST_INLINE static inline
#endif

/* What a feature is. Bytes count 256 times, so that thresholds are of 16 bits. */
typedef enum {
    BITQ_FOREST_INT16,
    BITQ_FOREST_INT8, /* the caller's */
    BITQ_FOREST_BYTE  /* the engine's, 128 standing for 0 */
} bitq_forest_element;

typedef struct {
    const int16_t *nodes;    /* thresholds; those of the first tree begin at index 1 */
    const uint8_t *features; /* the feature that each node compares; NULL: the low bits of its threshold name it */
    const void *leaves;      /* classes of leaf_bits, the lowest bits first, or values of leaf_bits, score by score */
    uint32_t leaf_bits;
    uint32_t trees, depth, scores;
    uint32_t index_mask; /* the low bits of a threshold that name the feature */
    bitq_forest_element element;
} bitq_forest;

BITQ_FOREST_INLINE int32_t bitq_forest_feature(const bitq_forest *forest, const void *x, uint32_t index)
{
    if (forest->element == BITQ_FOREST_INT16) {
        return ((const int16_t *)x)[index];
    }
    if (forest->element == BITQ_FOREST_INT8) {
        return ((const int8_t *)x)[index] * 256;
    }
    return ((int32_t)((const uint8_t *)x)[index] - 128) * 256;
}

BITQ_FOREST_INLINE uint32_t bitq_forest_index(const bitq_forest *forest, uint32_t place, int32_t threshold)
{
    return forest->features != NULL ? forest->features[place] : (uint32_t)threshold & forest->index_mask;
}

/* The sign of a difference is the way to go: no branch, so every input takes the same time. */
#define BITQ_FOREST_DOWN(level)                                                            \
    if (forest->depth > (level)) {                                                         \
        const int32_t threshold = nodes[node];                                             \
        const uint32_t index = bitq_forest_index(forest, before + node, threshold);        \
        const int32_t feature = bitq_forest_feature(forest, x, index);                     \
        const int32_t apart = threshold - feature;                                         \
        node = 2u * node + ((uint32_t)apart >> 31);                                        \
    }

/* The leaf of a tree that an input ends in, counted over all trees. */
BITQ_FOREST_INLINE uint32_t bitq_forest_leaf(const bitq_forest *forest, const void *x, uint32_t tree)
{
    const uint32_t leaves = UINT32_C(1) << forest->depth;
    const uint32_t before = tree * (leaves - 1u);
    const int16_t *const nodes = forest->nodes + before;
    uint32_t node = 1;
    BITQ_FOREST_DOWN(0u)
    BITQ_FOREST_DOWN(1u)
    BITQ_FOREST_DOWN(2u)
    BITQ_FOREST_DOWN(3u)
    BITQ_FOREST_DOWN(4u)
    BITQ_FOREST_DOWN(5u)
    BITQ_FOREST_DOWN(6u)
    BITQ_FOREST_DOWN(7u)
    BITQ_FOREST_DOWN(8u)
    BITQ_FOREST_DOWN(9u)
    return (tree << forest->depth) + node - leaves;
}

/* Every tree gives one vote to the class of its leaf. */
static inline void bitq_forest_votes(const bitq_forest *forest, const void *x, int32_t *scores)
{
    const uint32_t per_byte = 8u / forest->leaf_bits;
    const uint32_t mask = (UINT32_C(1) << forest->leaf_bits) - 1u;
    for (uint32_t score = 0; score < forest->scores; ++score) {
        scores[score] = 0;
    }
    for (uint32_t tree = 0; tree < forest->trees; ++tree) {
        const uint32_t leaf = bitq_forest_leaf(forest, x, tree);
        const uint32_t byte = ((const uint8_t *)forest->leaves)[leaf / per_byte];
        ++scores[(byte >> (forest->leaf_bits * (leaf % per_byte))) & mask];
    }
}

BITQ_FOREST_INLINE int32_t bitq_forest_value(const bitq_forest *forest, uint32_t index)
{
    return forest->leaf_bits == 16u ? ((const int16_t *)forest->leaves)[index]
                                    : ((const int8_t *)forest->leaves)[index];
}

/* Every leaf holds a value for each score. */
static inline void bitq_forest_sums(const bitq_forest *forest, const void *x, int32_t *scores)
{
    for (uint32_t score = 0; score < forest->scores; ++score) {
        scores[score] = 0;
    }
    for (uint32_t tree = 0; tree < forest->trees; ++tree) {
        const uint32_t first = bitq_forest_leaf(forest, x, tree) * forest->scores;
        for (uint32_t score = 0; score < forest->scores; ++score) {
            scores[score] += bitq_forest_value(forest, first + score);
        }
    }
}

/* Every leaf holds one value, for one score after the other, and from the first again. */
static inline void bitq_forest_turns(const bitq_forest *forest, const void *x, int32_t *scores, uint32_t first)
{
    uint32_t turn = first;
    for (uint32_t score = 0; score < forest->scores; ++score) {
        scores[score] = 0;
    }
    for (uint32_t tree = 0; tree < forest->trees; ++tree) {
        scores[turn] += bitq_forest_value(forest, bitq_forest_leaf(forest, x, tree));
        ++turn;
        if (turn == forest->scores) {
            turn = first;
        }
    }
}

#endif
