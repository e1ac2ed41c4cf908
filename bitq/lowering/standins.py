"""Modules for what torch has none of: sums, products, constants, means, and calls that only move elements."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Whole(nn.Module):
    """Base of modules that are no torch layer, but one call in the traced graph all the same."""


class Reshape(nn.Module):
    """``x.view(...)``: sizes as written; None stands for one that was computed, as ``x.shape[0]`` is.

    Behind the batch, one computed size is what is left, as -1 is; the second of three is the batch of a sequence that
    has the time first.
    """

    def __init__(self, *sizes: int | Sequence[int | None] | None) -> None:
        super().__init__()
        first = sizes[0] if sizes else None
        self.sizes: list[int | None] = list(first if isinstance(first, Sequence) else sizes)  # pyright: ignore[reportAttributeAccessIssue]
        second = len(self.sizes) == 3 and self.sizes[1] is None and self.sizes[0] not in (None, -1)
        if None in self.sizes[1:] and not second:
            batch = None if self.sizes[0] == -1 else self.sizes[0]
            self.sizes = [batch, *(-1 if size is None else size for size in self.sizes[1:])]
            if self.sizes.count(-1) > 1:
                raise ValueError("several of its sizes are computed in the forward pass; write numbers")

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x`` in its new shape."""
        return x.reshape([x.shape[axis] if size is None else size for axis, size in enumerate(self.sizes)])


class Plus(nn.Module):
    """``a + b``."""

    def __init__(self, alpha: float = 1) -> None:
        super().__init__()
        if alpha != 1:
            raise ValueError(f"alpha={alpha}; only 1 is covered")

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the sum."""
        return a + b


class Minus(Plus):
    """``a − b``."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the difference."""
        return a - b


class Times(nn.Module):
    """``a · b``."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the product."""
        return a * b


class Square(nn.Module):
    """``x²``."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the square."""
        return x.square()


class Curve(nn.Module):
    """A function of one value that has no module.

    Args:
        function: of a tensor and the arguments.
        args: numbers.
    """

    def __init__(self, function: Callable[..., Tensor], *args: float) -> None:
        super().__init__()
        self.function, self.args = function, args

    def forward(self, x: Tensor) -> Tensor:
        """Return its values."""
        return self.function(x, *self.args)


class Affine(nn.Module):
    """``x · gain + offset`` with constants: numbers, or tensors that broadcast."""

    def __init__(self, gain: float | Tensor = 1.0, offset: float | Tensor = 0.0) -> None:
        super().__init__()
        self.gain, self.offset = gain, offset

    def forward(self, x: Tensor) -> Tensor:
        """Return the scaled and shifted value."""
        return x * self.gain + self.offset


class Rearranged(nn.Module):
    """A call that only moves elements.

    Args:
        target: a function, or the name of a method.
        args: what it is given behind the tensor.
        kwargs: the same by name.
        item: which part of its result is meant, None for the whole.
    """

    def __init__(self, target: Any, args: Sequence[Any], kwargs: dict[str, Any], item: int | None = None) -> None:
        super().__init__()
        self.target, self.args, self.kwargs, self.item = target, args, kwargs, item

    def forward(self, x: Tensor) -> Tensor:
        """Return the elements in their new places."""
        call = getattr(x, self.target) if isinstance(self.target, str) else functools.partial(self.target, x)
        result = call(*self.args, **self.kwargs)
        return result if self.item is None else result[self.item]


class Join(nn.Module):
    """``torch.cat(values, dim)``."""

    def __init__(self, dim: int = 0) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *values: Tensor) -> Tensor:
        """Return the values side by side."""
        return torch.cat(values, self.dim)


class Mean(nn.Module):
    """``x.mean(dim)``."""

    total = False

    def __init__(self, dim: int | Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.dim = [dim] if isinstance(dim, int) else list(dim)
        self.keepdim = keepdim

    def forward(self, x: Tensor) -> Tensor:
        """Return the mean over the dimensions."""
        return x.mean(self.dim, keepdim=self.keepdim)


class Sum(Mean):
    """``x.sum(dim)``."""

    total = True

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum over the dimensions."""
        return x.sum(self.dim, keepdim=self.keepdim)


class Most(Mean):
    """``x.amax(dim)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the largest value over the dimensions."""
        return x.amax(self.dim, keepdim=self.keepdim)


class PaddedMax(Whole):
    """A max pool with any border, in which nothing counts; torch's is alike on both sides, and narrow.

    Args:
        kernel: of one or two dimensions.
        stride: likewise.
        before: places before each dimension.
        after: places after it.
    """

    def __init__(
        self, kernel: Sequence[int], stride: Sequence[int], before: Sequence[int], after: Sequence[int]
    ) -> None:
        super().__init__()
        self.kernel, self.stride = tuple(kernel), tuple(stride)
        self.padding = tuple(zip(before, after, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return the largest value of every window."""
        sides = [side for pair in reversed(self.padding) for side in pair]
        x = torch.nn.functional.pad(x, sides, value=-torch.inf)
        pool = torch.max_pool1d if len(self.kernel) == 1 else torch.max_pool2d
        return pool(x, self.kernel, self.stride)
