"""Decision trees as comparisons, where speed counts: a function of nested conditions for each tree.

Features of 16 bits that are compared often are first turned into the bytes that their thresholds tell apart, for a
byte and its threshold take the shortest instructions. The votes of all classes but the first share one word, a lane
of bits each; the first class has what is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bitq.codegen.constants import Constant
from bitq.codegen.ops.layer import Layer, Operand, Place
from bitq.codegen.ops.printer import Printer
from bitq.ir.ops import Forest
from bitq.ir.types import INT16, UINT8, DType

_OFTEN = 1.0
"""Expected comparisons of a feature, up to which turning it into a byte costs more than it saves."""

_LANES = 31
"""Bits that all lanes of votes may take."""


@dataclass(frozen=True)
class _Split:
    """A node; a branch is another one or the value of a leaf."""

    feature: int
    threshold: int
    below: _Split | int
    above: _Split | int

    @property
    def nodes(self) -> int:
        """Number of splits, this one included."""
        return 1 + sum(branch.nodes for branch in (self.below, self.above) if isinstance(branch, _Split))

    def thresholds(self, chance: float = 1.0) -> Iterator[tuple[int, int, float]]:
        """Yield feature, threshold and chance of every split, where each branch is as likely as the other."""
        yield self.feature, self.threshold, chance
        for branch in (self.below, self.above):
            if isinstance(branch, _Split):
                yield from branch.thresholds(chance / 2)


@dataclass(frozen=True)
class _Steps:
    """A feature as a byte: how many steps of ``2^shift`` from ``first`` on it has reached, 0 to 255."""

    place: int
    first: int
    shift: int

    def holds(self, threshold: int) -> bool:
        """Whether values up to a threshold and those above it have different bytes."""
        above = threshold + 1 - self.first
        return above % (1 << self.shift) == 0 and 0 < above >> self.shift <= UINT8.high

    def condition(self, threshold: int) -> str:
        """Return what holds up to a threshold."""
        return f"steps[{self.place}] < {threshold + 1 - self.first >> self.shift}u"


def covers(op: Forest, most: int) -> bool:
    """Whether trees have this form: each gives one value, and they split no more than ``most`` times."""
    if op.leaves.shape[2] != 1 or op.leaves.shape[0] * op.leaves.shape[1] > 8 * most:
        return False
    return sum(tree.nodes for tree in _trees(op, INT16) if isinstance(tree, _Split)) <= most


def forest(op: Forest, at: Place) -> Layer:
    """Print a function for each tree, and one that calls them."""
    x, trees = at.inputs[0], _trees(op, at.inputs[0].type.dtype)
    steps = _steps(trees) if x.type.dtype is INT16 else {}
    constants = [
        Constant(f"{at.symbol}_{number}", _function(f"{at.symbol}_{number}", tree, x, steps), 0)
        for number, tree in enumerate(trees)
    ]
    whole = [
        f"static void {at.symbol}_code(const void *features, int32_t *y)",
        "{",
        *(f"    {line}" for line in [*_byte_lines(steps), *_calls(op, at.symbol, bool(steps))]),
        "}",
        "",
    ]
    constants.append(Constant(f"{at.symbol}_code", "\n".join(whole), 0))
    return Layer(op, tuple(constants), f"{at.symbol}_code({x.expression}, {at.y});", ())


FOREST = Printer(forest)


def _trees(op: Forest, dtype: DType) -> list[_Split | int]:
    """Return the trees without the splits whose two sides end alike, or that no value of the dtype can pass."""
    return [_tree(op, dtype, tree, 0) for tree in range(len(op.leaves))]


def _tree(op: Forest, dtype: DType, tree: int, node: int) -> _Split | int:
    inner = op.features.shape[1]
    if node >= inner:
        return int(op.leaves[tree, node - inner, 0])
    threshold = int(op.thresholds[tree, node])
    below, above = (_tree(op, dtype, tree, 2 * node + side) for side in (1, 2))
    if threshold == dtype.high or below == above:
        return below
    return _Split(int(op.features[tree, node]), threshold, below, above)


def _steps(trees: Sequence[_Split | int]) -> dict[int, _Steps]:
    """Return the features that are worth a byte, with the steps that tell most of their thresholds apart."""
    chances: defaultdict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
    for tree in trees:
        if isinstance(tree, _Split):
            for feature, threshold, chance in tree.thresholds():
                chances[feature][threshold] += chance
    found: dict[int, _Steps] = {}
    for feature, chance in sorted(chances.items()):
        lowest = min(chance)
        # The largest power of two that all distances between thresholds are multiples of.
        apart = [(threshold - lowest & lowest - threshold).bit_length() - 1 for threshold in chance]
        shift = min((bits for bits in apart if bits >= 0), default=0)
        choices = [_Steps(len(found), threshold + 1 - (1 << shift), shift) for threshold in chance]
        held = [sum(chance[t] for t in chance if steps.holds(t)) for steps in choices]
        if max(held) >= _OFTEN:
            found[feature] = choices[held.index(max(held))]
    return found


def _byte_lines(steps: dict[int, _Steps]) -> list[str]:
    if not steps:
        return []
    lines = ["const int16_t *const x = features;", f"uint8_t steps[{len(steps)}];"]
    for feature, own in steps.items():
        lines.append(f"steps[{own.place}] = bitq_steps(x[{feature}], {own.first}, {own.shift});")
    return lines


def _calls(op: Forest, symbol: str, has_steps: bool) -> list[str]:
    """Print the calls of all trees and what they give."""
    given = "features, steps" if has_steps else "features"
    calls = [f"{symbol}_{number}({given})" for number in range(len(op.leaves))]
    lanes = _lanes(op)
    if not lanes:
        lines = [f"y[{score}] = 0;" for score in range(op.scores)]
        if op.votes:
            return [*lines, *(f"++y[{call}];" for call in calls)]
        return lines + [f"y[{score}] += {call};" for call, score in zip(calls, op.targets().tolist(), strict=True)]
    lines = ["uint32_t votes = 0;"]
    for call in calls:
        # A compiler that knows the cases leads each leaf to its own.
        lines += [f"switch ({call}) {{"]
        for score in range(1, op.scores):
            lines += [f"case {score}:", f"    votes += {1 << lanes * (score - 1)}u;", "    break;"]
        lines += ["default:", "    break;", "}", "BITQ_OPAQUE(votes);"]
    mask = (1 << lanes) - 1
    lines += [
        f"y[{score}] = bitq_signed({f'votes >> {lanes * (score - 1)}' if score > 1 else 'votes'} & {mask}u);"
        for score in range(1, op.scores)
    ]
    return [*lines, f"y[0] = {len(calls)}{''.join(f' - y[{score}]' for score in range(1, op.scores))};"]


def _lanes(op: Forest) -> int:
    """Return the bits of a lane of votes; 0 where leaves are values, one class is alone, or too many share a word."""
    bits = len(op.leaves).bit_length()
    return bits if op.votes and 0 < bits * (op.scores - 1) <= _LANES else 0


def _function(name: str, tree: _Split | int, x: Operand, steps: dict[int, _Steps]) -> str:
    element = "int16_t" if x.type.dtype is INT16 else "int8_t" if x.flip else "uint8_t"
    body = _lines(tree, x, steps, "    ")
    uses_x, uses_steps = (any(f"{array}[" in line for line in body) for array in ("(x", "(steps"))
    lines = [
        f"static int32_t {name}(const void *features{', const uint8_t *steps' if steps else ''})",
        "{",
        f"    const {element} *const x = features;" if uses_x else "    (void)features;",
        *(["    (void)steps;"] if steps and not uses_steps else []),
        *body,
        "}",
        "",
    ]
    return "\n".join(lines)


def _lines(branch: _Split | int, x: Operand, steps: dict[int, _Steps], indent: str) -> Sequence[str]:
    if not isinstance(branch, _Split):
        return [f"{indent}return {branch};"]
    feature, threshold = branch.feature, branch.threshold
    own = steps.get(feature)
    fits = own is not None and own.holds(threshold)
    condition = own.condition(threshold) if own and fits else f"x[{feature}] <= {_limit(threshold, x)}"
    return [
        f"{indent}if ({condition}) {{",
        *_lines(branch.below, x, steps, f"{indent}    "),
        f"{indent}}}",
        *_lines(branch.above, x, steps, indent),
    ]


def _limit(threshold: int, x: Operand) -> str:
    """Return a threshold as the features are: the caller's numbers, or the engine's unsigned bytes."""
    own = x.type.dtype is INT16 or x.flip
    return str(threshold) if own else f"{threshold - x.type.dtype.low}u"
