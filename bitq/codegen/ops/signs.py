"""Layers whose weights have 1 bit and whose inputs have 7, four products at once.

With ``USADA8`` of the DSP extension four products take two instructions; other cores do the same with more.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, Fields, nested, struct, table
from bitq.codegen.ops.conv import is_grouped
from bitq.codegen.ops.layer import UINT16_MAX, Layer, Operand, Place, out_bytes, require, window_fields
from bitq.codegen.ops.printer import Printer
from bitq.codegen.ops.straight import finish, finished, out_type, result_of, scaled
from bitq.ir.ops import Conv, Dense
from bitq.ir.types import BIPOLAR, UINT7, TensorType, Weights

_ROWS = 2  # outputs whose weights share words
_INPUTS = 16  # of one word of weights
_OUTPUTS = 4  # that the kernel of dense layers writes at once
_PLACES = 2  # that the kernel of convolutions computes at once
_MIDDLE = 64  # inputs count from here


def covers(op: Dense, x: TensorType) -> bool:
    """Whether a layer has this form: its inputs are whole words of 7-bit activations, its weights have 1 bit."""
    return op.weights.dtype is BIPOLAR and x.dtype is UINT7 and op.weights.matrix.shape[1] % 4 == 0


def covers_conv(op: Conv, x: TensorType) -> bool:
    """Whether a convolution has this form: the same, for each of its places; outputs read the whole window."""
    return (
        not is_grouped(op) and op.weights.dtype is BIPOLAR and x.dtype is UINT7 and op.weights.codes.shape[3] % 4 == 0
    )


def words(weights: Weights) -> NDArray[np.int32]:
    """Pack signs: for each two outputs and each 16 inputs one word of four bytes, ``(two outputs, 16 inputs)``.

    Bit ``7 − k`` of byte i, the lowest first, is set for a weight of −1 of the first output at input ``4 k + i``, and
    bit ``3 − k`` for the second one. Outputs and inputs that are missing count as +1.
    """
    minus = weights.matrix < 0
    outputs, inputs = minus.shape
    minus = np.pad(minus, ((0, -outputs % _ROWS), (0, -inputs % _INPUTS)))
    # (two outputs, output, 16 inputs, k, byte) -> (two outputs, 16 inputs, byte, output, k)
    split = minus.reshape(-1, _ROWS, minus.shape[1] // _INPUTS, 4, 4).transpose(0, 2, 4, 1, 3)
    packed = np.packbits(split.reshape(-1, 8), axis=1).ravel().view("<i4").astype(np.int32)
    return packed.reshape(split.shape[:2])


def by_four(rows: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return words in the order of the kernel of dense layers: those of four outputs side by side.

    Where the last two outputs are alone, a word that is read in vain follows.
    """
    ordered = [rows[first : first + 2].T.ravel() for first in range(0, len(rows), 2)]
    return np.concatenate([*ordered, np.zeros(len(rows) % 2, np.int32)])


def dense(op: Dense, at: Place) -> Layer:
    """Print a dense layer: a function that finishes the sums."""
    x = at.inputs[0]
    outputs, inputs = op.weights.matrix.shape
    signs = table(f"{at.symbol}_weights", by_four(words(op.weights)))
    sums = f"bitq_sign_sums({signs.name}, x, {inputs}, {outputs}, totals);"
    tables, call = finish(op, at, x.zero - _MIDDLE, sums, outputs + -outputs % _OUTPUTS)
    return Layer(op, (signs, *tables), call, ("bitq_sign_sums",))


DENSE = Printer(dense)


def conv(op: Conv, at: Place) -> Layer:
    """Print a convolution: a function that finishes the sums of one place, and the layer."""
    x = at.inputs[0]
    outputs, inputs = op.weights.matrix.shape
    signs = table(f"{at.symbol}_weights", words(op.weights))
    together = ["i", "i + 1u"] if outputs % 2 == 0 else ["i"]
    results = [result_of(op, at.symbol, f"bitq_signed(totals[{output}])", output) for output in together]
    store = [f"const {out_type(op)} y{k} = {result};" for k, result in enumerate(results)]
    store += [f"y[{output}] = y{k};" for k, output in enumerate(together)]
    tables, loop = finished(op, at.symbol, x.zero - _MIDDLE, store, len(together))
    lines = [
        *scaled(op, at.symbol),
        f"static void {at.symbol}_code(const uint32_t *totals, void *results)",
        "{",
        f"    {out_type(op)} *const y = results;",
        *(f"    {line}" for line in loop),
        "}",
        "",
    ]
    code = Constant(f"{at.symbol}_code", "\n".join(lines), 0)
    sizes: Fields = [
        ("inputs", inputs),
        ("words", _patch_words(op)),
        ("outputs", outputs + outputs % _ROWS),
        ("step", outputs * out_bytes(op)),
    ]
    largest = max(int(size) for _, size in sizes)
    require(op, largest <= UINT16_MAX, f"a size of {largest}", f"at most {UINT16_MAX}")
    window = nested(window_fields(op, x, op.kernel, op.stride, op.padding))
    layer = struct(
        f"{at.symbol}_layer", "bitq_sign_convolution", [("window", window), ("weights", signs.name), *sizes]
    )
    call = f"bitq_conv_signs(&{layer.name}, {code.name}, {x.expression}, {at.scratch}, {at.y});"
    return Layer(op, (signs, *tables, code, layer), call, ("bitq_conv_signs",))


def scratch(op: Conv, inputs: Sequence[Operand]) -> int:
    """Room for the patches of the places computed at once, and for their sums."""
    outputs = len(op.bias)
    return 4 * _PLACES * (_patch_words(op) + outputs + outputs % _ROWS)


def in_place(op: Conv, inputs: Sequence[Operand]) -> bool:
    """Whether each place of the output ends before all that the places behind it read."""
    _, width, channels = inputs[0].type.shape
    lines, places = (
        np.maximum(0, np.arange(n) * stride - before)
        for n, stride, (before, _) in zip(op.out.shape[:2], op.stride, op.padding, strict=True)
    )
    first = ((lines[:, None] * width + places) * channels).ravel()
    ends = np.arange(1, len(first)) * len(op.bias) * out_bytes(op)
    return bool((ends <= np.minimum.accumulate(first[::-1])[::-1][1:]).all())


CONV = Printer(conv, scratch, in_place)


def _patch_words(op: Conv) -> int:
    """Return the words of four inputs of one place, an even number."""
    return -(-op.weights.matrix.shape[1] // 8) * 2
