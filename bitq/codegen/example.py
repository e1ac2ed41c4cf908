"""The self-test for a real board: a main program with a few built-in vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import table
from bitq.ir.graph import Graph

_VECTORS = 4
_INPUT_BYTES = 4096  # of flash, at most, but always one vector

_TEMPLATE = """\
/* Self-test of @NAME@ on a board: runs built-in vectors and compares every score and winner.
 *
 * main() returns 0 if all are equal; a debugger finds the same in bitq_test (1 passed, 2 failed) and the cycles of
 * one inference in bitq_test_cycles (0 where the core has no cycle counter). To see a line of text, compile with
 * -DBITQ_PUTCHAR=f, where f is "int f(int character)". With -DBITQ_SELFTEST, and in Arduino libraries, this is no
 * program but a function, "int @NAME@_selftest(void)".
 */
#include <stdint.h>

#include "model.h"

#ifdef BITQ_PUTCHAR
extern int BITQ_PUTCHAR(int character);
#endif

/* The cycle counter of Armv7-M and Armv8-M Mainline; Cortex-M0, M0+ and M23 have none. */
#if defined(__ARM_ARCH_7M__) || defined(__ARM_ARCH_7EM__) || defined(__ARM_ARCH_8M_MAIN__) || \\
    defined(__ARM_ARCH_8_1M_MAIN__)
#define DEMCR (*(volatile uint32_t *)0xE000EDFCu)
#define DWT_CTRL (*(volatile uint32_t *)0xE0001000u)
#define DWT_CYCCNT (*(volatile uint32_t *)0xE0001004u)
static void cycles_start(void)
{
    DEMCR |= UINT32_C(1) << 24;
    DWT_CYCCNT = 0;
    DWT_CTRL |= 1u;
}
static uint32_t cycles(void)
{
    return DWT_CYCCNT;
}
#else
static void cycles_start(void)
{
}
static uint32_t cycles(void)
{
    return 0;
}
#endif

#if defined(BITQ_SELFTEST) || defined(ARDUINO)
int @NAME@_selftest(void);
#define SELFTEST @NAME@_selftest
#else
int main(void);
#define SELFTEST main
#endif

#define VECTORS @VECTORS@

@TABLES@
static volatile int32_t bitq_test;
static volatile uint32_t bitq_test_cycles;

static void print(const char *text)
{
#ifdef BITQ_PUTCHAR
    while (*text != '\\0') {
        (void)BITQ_PUTCHAR(*text++);
    }
#else
    (void)text;
#endif
}

static void print_hexadecimal(uint32_t value)
{
    char text[9];
    for (int32_t i = 7; i >= 0; --i) {
        text[i] = "0123456789abcdef"[value & 15u];
        value >>= 4;
    }
    text[8] = '\\0';
    print(text);
}

int SELFTEST(void)
{
    int32_t scores[@UPPER@_SCORES_LENGTH];
    int32_t failed = 0;
    cycles_start();
    for (uint32_t i = 0; i < VECTORS; ++i) {
        const uint32_t before = cycles();
        const int32_t winner = @NAME@_run(&inputs[i * @UPPER@_INPUT_LENGTH], scores);
        bitq_test_cycles = cycles() - before;
        if (winner != winners[i]) {
            failed = 1;
        }
        for (uint32_t k = 0; k < @UPPER@_SCORES_LENGTH; ++k) {
            if (scores[k] != expected[i * @UPPER@_SCORES_LENGTH + k]) {
                failed = 1;
            }
        }
    }
    bitq_test = failed != 0 ? 2 : 1;
    print(failed != 0 ? "@NAME@: FAILED, cycles 0x" : "@NAME@: passed, cycles 0x");
    print_hexadecimal(bitq_test_cycles);
    print("\\r\\n");
    return (int)failed;
}
"""


def example_main(
    graph: Graph, inputs: NDArray[np.integer[Any]], scores: NDArray[np.int32], winners: NDArray[np.int32]
) -> str:
    """Print ``example_main.c`` with a few of the given vectors, of different winners where there are some.

    Args:
        graph: the model.
        inputs: ``(n, *shape)`` in the order of the C call.
        scores: ``(n, k)``.
        winners: ``(n,)``.
    """
    count = min(_VECTORS, len(inputs), max(1, _INPUT_BYTES * 8 // (graph.input.size * graph.input.dtype.bits)))
    firsts = np.sort(np.unique(winners, return_index=True)[1])
    others = np.setdiff1d(np.arange(len(inputs)), firsts)
    rows = np.concatenate([firsts, others])[:count]
    tables = "\n".join(
        [
            table("inputs", inputs[rows].astype(graph.input.dtype.array)).text,
            table("expected", scores[rows].astype(np.int32)).text,
            table("winners", winners[rows].astype(np.int32)).text,
        ]
    )
    values = {"@NAME@": graph.name, "@UPPER@": graph.name.upper(), "@VECTORS@": f"{count}u", "@TABLES@": tables}
    text = _TEMPLATE
    for mark, value in values.items():
        text = text.replace(mark, value)
    return text
