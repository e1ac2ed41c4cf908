"""A convolution with the pool behind it, as one operation of the generated C."""

from __future__ import annotations

from dataclasses import dataclass

from bitq.ir.ops import Conv


@dataclass(frozen=True, eq=False, kw_only=True)
class PooledConv(Conv):
    """A convolution and the largest of each two neighbouring places of a row; name and output are the pool's.

    A rescale never turns an order around, so the larger sum gives the larger result.
    """
