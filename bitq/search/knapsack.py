"""The assignment of bits that a table of losses and sizes promises most of: a knapsack, solved exactly."""

from __future__ import annotations

from collections.abc import Mapping

Table = Mapping[str, Mapping[int, float]]
"""A number per matrix and bits."""


def allocate(losses: Table, sizes: Table, budget: float) -> dict[str, int] | None:
    """Return the bits per matrix with the least sum of losses whose sizes add up to the budget at most.

    Keeps, matrix by matrix, every partial assignment that no other one beats in both sums; so the result is exact.

    Args:
        losses: what each choice costs in quality.
        sizes: what each choice costs in bytes; the same keys.
        budget: for the sum of the sizes.

    Returns:
        The assignment, the smaller one on ties; None if nothing fits.
    """
    states: list[tuple[float, float, tuple[int, ...]]] = [(0.0, 0.0, ())]
    for matrix, choices in losses.items():
        grown = [
            (size + sizes[matrix][bits], loss + choices[bits], (*chosen, bits))
            for size, loss, chosen in states
            for bits in choices
        ]
        states = []
        for state in sorted(grown):
            if state[0] <= budget and (not states or state[1] < states[-1][1]):
                states.append(state)
    return dict(zip(losses, states[-1][2], strict=True)) if states else None
