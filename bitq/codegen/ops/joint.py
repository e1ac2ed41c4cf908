"""A GRU whose weights have one bit, where speed counts: both matrices as one straight-line code, and its cell.

The sums of the state and of the input are added up together, in one unit or in the halves of a word, so each row of
the reset and update gates takes one chain of additions; the rows of the new gate take one for each matrix. The totals
of a unit lie side by side, and the cell makes its parts from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.constants import Constant, table
from bitq.codegen.ops import lookups
from bitq.codegen.ops.layer import Operand, byte_zero
from bitq.ir.cells import LONG
from bitq.ir.ops import Recurrent
from bitq.ir.types import BIPOLAR, INT16, UINT8

RUNTIME = ("bitq_curve",)
"""What the code needs of the runtime."""

_LEAST = 3  # columns of a set
_NAMES = {_LEAST: "four", lookups.INPUTS: "eight"}
TOTALS = 4
"""Of a unit: reset, update, and the new gate's sums of the input and of the state."""

_MOST = INT16.high // (2 * UINT8.high)  # units, and inputs, whose sums fit in half a word without a sign


def covers(op: Recurrent) -> bool:
    """Whether both matrices can share their totals, and looking sums up takes less than grouping columns."""
    parts = (op.state.weights, op.input.weights)
    if any(weights.dtype is not BIPOLAR or weights.codes.shape[1] > _MOST for weights in parts):
        return False
    codes = _both(op)
    return lookups.pays(replace(op.state.weights, codes=codes), [codes.shape[1]], made=1)


def gru(name: str, op: Recurrent, reads: tuple[Operand, Operand]) -> list[Constant]:
    """Print the functions ``<name>_parts``, a `bitq_parts` that gives totals, and ``<name>_cell``, and their tables.

    Args:
        name: C identifier.
        op: the layer.
        reads: what the matrices of the input and of the state read.
    """
    multipliers = [part.rescale.multiplier.astype(np.int64) for part in (op.input, op.state) if part.rescale]
    first, state = (np.broadcast_to(multiplier, 3 * op.units) for multiplier in multipliers)
    alike = all(len(multiplier) == 1 for multiplier in multipliers)
    by = ((first << 16) + state).astype(np.uint32)
    biases = [
        (part.bias.astype(np.int64) - _zero(x) * part.weights.matrix.sum(axis=1)) * multiplier
        for part, x, multiplier in zip((op.input, op.state), reads, (first, state), strict=True)
    ]
    return [*_cell(name, op, biases, by, alike), _parts(name, op, reads[0], int(by[0]) if alike else None)]


class _Set(NamedTuple):
    """Columns whose sums are made once: of two of them or more, and the word where the sums begin."""

    columns: slice
    word: int

    @property
    def size(self) -> int:
        """How many columns."""
        return self.columns.stop - self.columns.start


def _parts(name: str, op: Recurrent, step: Operand, by: int | None) -> Constant:
    low, high = ("{}", "{} << 16") if by is None else (f"bitq_low_word({{}}, {by}u)", f"bitq_high_word({{}}, {by}u)")
    states, inputs = _sets(op)
    words = [low.format(f"(uint32_t)before[{k}]") for k in range(op.units)]
    words += ["0u"] * (states[-1].columns.stop - len(words))
    words += [high.format(f"(uint32_t)step[{k}]") for k in range(op.input.weights.codes.shape[1])]
    words.append(low.format(f"{_offset(op)}u"))
    words += ["0u"] * (inputs[-1].columns.stop - len(words))
    element = "int8_t" if step.flip else "uint8_t"
    made = [
        f"bitq_{_NAMES[group.size]}_sums({', '.join(words[group.columns])}, {_from(group.word)});"
        for group in (*states, *inputs)
    ]
    rows = _rows(op, states, inputs)
    most = inputs[-1].word + (1 << inputs[-1].size - 1)
    body = [
        f"uint32_t made[{most}];",
        *(
            f"const volatile uint32_t *const t{k} = {_from(lookups.REACH * k)};"
            for k in range(-(-most // lookups.REACH))
        ),
        f"const {element} *const step = (const {element} *)x;",
        "uint32_t *const totals = (uint32_t *)parts;",
        "uint32_t s;",
        *(f"uint32_t {name};" for name in sorted({line.split()[0] for line in rows if line.startswith("p")})),
        "(void)layer;",
        *made,
        *rows,
    ]
    parameters = "const bitq_recurrent *layer, const uint8_t *x, const uint8_t *before, int32_t *parts"
    head = f"static void {name}_parts({parameters})"
    return Constant(f"{name}_parts", "\n".join([head, "{", *(f"    {line}" for line in body), "}", ""]), 0)


def _from(word: int) -> str:
    """Return where the sums of a set begin."""
    return f"made + {word}" if word else "made"


class _Row(NamedTuple):
    """Where a total goes, and the signs of the sums that it takes, by their names."""

    to: str
    signs: dict[str, int]


class _Pair(NamedTuple):
    """Two rows, or one, and the sums that they share: those of one relative sign together, others alone."""

    rows: tuple[_Row, ...]
    shared: tuple[tuple[str, ...], ...] = ()

    @property
    def saved(self) -> int:
        """Loads and additions that the second row does without."""
        return sum(2 * len(names) - 1 for names in self.shared)


def _rows(op: Recurrent, states: list[_Set], inputs: list[_Set]) -> list[str]:
    """Print the sums of all rows from those of sets, two rows together that share many."""
    rows = list[_Row]()
    for number, signs in enumerate(_both(op).tolist()):
        gate, unit = divmod(number, op.units)
        for place, sets in ((gate, [*states, *inputs]),) if gate < 2 else ((2, inputs), (3, states)):
            terms = dict(_term(signs[group.columns], group.word) for group in sets)
            rows.append(_Row(f"totals[{TOTALS * unit + place}]", terms))
    return [line for pair in _paired(rows) for line in _pair_lines(pair)]


def _paired(rows: Sequence[_Row]) -> list[_Pair]:
    """Return every row once, beside the one with which it saves most, those that save most before others."""
    left, pairs = dict(enumerate(rows)), list[_Pair]()
    found = [(i, j, _pair(rows[i], rows[j])) for i, j in combinations(left, 2)]
    for i, j, pair in sorted(found, key=lambda each: -each[2].saved):
        if i in left and j in left and pair.saved > 0:
            pairs.append(pair)
            del left[i], left[j]
    return [*pairs, *(_Pair((row,)) for row in left.values())]


def _pair(first: _Row, second: _Row) -> _Pair:
    """Return two rows with what they share."""
    both = [name for name in first.signs if name in second.signs]
    alike = tuple(name for name in both if first.signs[name] == second.signs[name])
    unlike = tuple(name for name in both if name not in alike)
    together, others = (alike, unlike) if len(alike) >= len(unlike) else (unlike, alike)
    return _Pair((first, second), (*((together,) if together else ()), *((name,) for name in others)))


def _pair_lines(pair: _Pair) -> list[str]:
    """Print what the rows share, then each row from that and the rest of its sums."""
    lines, rest = list[str](), [dict(row.signs) for row in pair.rows]
    for number, shared in enumerate(pair.shared):
        own = {name: rest[0][name] for name in shared}
        if max(own.values()) < 0:
            own = dict.fromkeys(own, 1)
        name, first = f"p{number}", shared[0]
        lines += _chain(name, own)
        for signs in rest:
            sign = signs[first] * own[first]
            for each in shared:
                del signs[each]
            signs[name] = sign
    for row, signs in zip(pair.rows, rest, strict=True):
        ((only, sign), *more) = signs.items()
        lines += [f"{row.to} = {only};"] if sign > 0 and not more else [*_chain("s", signs), f"{row.to} = s;"]
    return lines


def _chain(to: str, signs: Mapping[str, int]) -> list[str]:
    """Print a sum; one that is added comes first where there is one."""
    first, *others = sorted(signs, key=lambda name: -signs[name])
    return [
        f"{to} = {'0u - ' if signs[first] < 0 else ''}{first};",
        *(f"{to} = bitq_{'minus' if signs[name] < 0 else 'plus'}({to}, {name});" for name in others),
    ]


def _term(signs: list[int], word: int) -> tuple[str, int]:
    """Return what a row needs of one set, and its sign."""
    first, *others = signs
    place = word + sum((sign != first) << len(others) - 1 - bit for bit, sign in enumerate(others))
    return f"t{place // lookups.REACH}[{place % lookups.REACH}]", first


def _cell(name: str, op: Recurrent, biases: list[np.ndarray], by: np.ndarray, alike: bool) -> list[Constant]:
    first, state = (bias.reshape(3, op.units) for bias in biases)
    less = _offset(op) * (by & 0xFFFF).astype(np.int64).reshape(3, op.units)
    joined = first + state - less
    middle = 8 << op.fraction  # of a sigmoid's curve; that of tanh has it at half of that
    columns = np.stack([joined[0] + middle, joined[1] + middle, first[2] - less[2] + middle // 2, state[2]], axis=1)
    tables = [table(f"{name}_bias", columns.astype(np.uint32).view(np.int32).ravel())]
    kinds, factors = [f"const int32_t *bias = {name}_bias;"], [f"{by[0]}u"] * TOTALS
    if not alike:
        tables.append(
            table(f"{name}_by", by.reshape(3, op.units)[[0, 1, 2, 2]].T.astype(np.uint32).view(np.int32).ravel())
        )
        kinds.append(f"const int32_t *by = {name}_by;")
        factors = [f"(uint32_t)by[{k}]" for k in range(TOTALS)]
    both, alone = ("bitq_words", "bitq_word_alone") if alike else ("bitq_halves", "bitq_half")
    made = [
        f"{alone if k == TOTALS - 1 else both}((uint32_t)parts[{k}], {factors[k]}, bias[{k}])" for k in range(TOTALS)
    ]
    sigmoid, tangent = op.fraction - 3, op.fraction - 4
    less = (1 << LONG >> op.shift) - byte_zero(op.out)
    arguments = ["parts", "bias"] if alike else ["parts", "bias", "by"]
    parameters = [*(f"const BITQ_IN_TURN int32_t *{word}" for word in arguments), "int32_t *state", "uint8_t *y"]
    once = next(count for count in (4, 2, 1) if op.units % count == 0)
    lines = [
        f"BITQ_WITHIN void {name}_unit({', '.join(parameters)})",
        "{",
        f"    const int32_t reset = bitq_on_curve({made[0]}, {sigmoid});",
        f"    const int32_t kept = bitq_gru_kept(reset, {made[3]}, {op.narrow});",
        f"    const int32_t update = bitq_on_curve({made[1]}, {sigmoid});",
        f"    const int32_t new = bitq_on_curve({made[2]} + kept, {tangent});",
        "    const int32_t h = bitq_gru_state(update, new, *state);",
        "    *state = h;",
        f"    *y = bitq_gru_output(h, {op.shift}, {less});",
        "}",
        "",
        f"BITQ_SHARED void {name}_units({', '.join(parameters)})",
        "{",
        f"    {name}_unit({', '.join(arguments)}, state, y);",
        "#if defined(__ARM_ARCH_6M__)",
        *(
            f"    {name}_unit({', '.join(f'{word} + {TOTALS * k}' for word in arguments)}, state + {k}, y + {k});"
            for k in range(1, once)
        ),
        "#endif",
        "}",
        "",
        "#if defined(__ARM_ARCH_6M__)",
        f"#define {name.upper()}_ONCE {once}u",
        f"#define {name.upper()}_TOTALS {TOTALS * once}u",
        "#else",
        f"#define {name.upper()}_ONCE 1u",
        f"#define {name.upper()}_TOTALS {TOTALS}u",
        "#endif",
        f"static void {name}_cell(const bitq_recurrent *layer, const int32_t *parts, int32_t *state, uint8_t *y)",
        "{",
        *(f"    {line}" for line in kinds),
        "    (void)layer;",
        *(f"    BITQ_OPAQUE({word});" for word in arguments[1:]),
        f"    for (uint32_t i = 0; i < {op.units}u; i += {name.upper()}_ONCE) {{",
        f"        {name}_units({', '.join(arguments)}, state, y);",
        *(f"        {word} += {name.upper()}_TOTALS;" for word in arguments),
        *(f"        {word} += {name.upper()}_ONCE;" for word in ("state", "y")),
        "    }",
        "}",
        "",
    ]
    return [*tables, Constant(f"{name}_cell", "\n".join(lines), 0)]


def _zero(x: Operand) -> int:
    """Return the integer that stands for 0 as the code reads it: signed bytes of the caller, else unsigned ones."""
    return x.type.zero_point if x.flip else x.zero


def _offset(op: Recurrent) -> int:
    """Return what keeps every sum of the state, as unsigned bytes, from being negative."""
    return op.units * UINT8.high


def _sets(op: Recurrent) -> tuple[list[_Set], list[_Set]]:
    """Return the sets of the state's columns and those of the input's, which end with a constant."""
    states = _divided(0, op.units, 0)
    last = states[-1]
    inputs = op.input.weights.codes.shape[1] + 1
    return states, _divided(last.columns.stop, inputs, last.word + (1 << last.size - 1))


def _divided(start: int, columns: int, word: int) -> list[_Set]:
    """Divide columns into sets of four and, first, of three; the last one of three may reach past them."""
    count, sets = -(-columns // lookups.INPUTS), list[_Set]()
    shorter = min(count, lookups.INPUTS * count - columns)
    for number in range(count):
        size = _LEAST if number < shorter else lookups.INPUTS
        sets.append(_Set(slice(start, start + size), word))
        start, word = start + size, word + (1 << size - 1)
    return sets


def _both(op: Recurrent) -> NDArray[np.int8]:
    """Return the codes of both matrices side by side, with +1 in all columns that neither has."""
    _, inputs = _sets(op)
    full = np.ones((3 * op.units, inputs[-1].columns.stop), np.int8)
    full[:, : op.units] = op.state.weights.codes
    first = inputs[0].columns.start
    full[:, first : first + op.input.weights.codes.shape[1]] = op.input.weights.codes
    return full
