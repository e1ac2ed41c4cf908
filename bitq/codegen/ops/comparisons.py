"""Decision trees as comparisons, where speed counts: a function of nested conditions for each tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bitq.codegen.constants import Constant
from bitq.codegen.ops.layer import Layer, Place
from bitq.codegen.ops.printer import Printer
from bitq.ir.ops import Forest
from bitq.ir.types import INT8, INT16, DType


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


def covers(op: Forest, most: int) -> bool:
    """Whether trees have this form: each gives one value, and they split no more than ``most`` times."""
    if op.leaves.shape[2] != 1 or op.leaves.shape[0] * op.leaves.shape[1] > 8 * most:
        return False
    return sum(tree.nodes for tree in _trees(op, INT16) if isinstance(tree, _Split)) <= most


def forest(op: Forest, at: Place) -> Layer:
    """Print a function for each tree, and the calls."""
    x = at.inputs[0]
    wide = x.type.dtype is INT16
    element = "int16_t" if wide else "int8_t" if x.flip else "uint8_t"
    raised = 128 if x.type.dtype is INT8 and not x.flip else 0
    y = at.y if at.y.isidentifier() else f"({at.y})"
    functions, calls = list[Constant](), [f"{y}[{score}] = 0;" for score in range(op.scores)]
    turns = op.scores - op.first
    for number, tree in enumerate(_trees(op, x.type.dtype)):
        name = f"{at.symbol}_{number}"
        lines = [
            f"static int32_t {name}(const void *features)",
            "{",
            f"    const {element} *const x = features;" if isinstance(tree, _Split) else "    (void)features;",
            *_lines(tree, raised, "    "),
            "}",
            "",
        ]
        functions.append(Constant(name, "\n".join(lines), 0))
        call = f"{name}({x.expression})"
        score = op.first + number % turns
        calls.append(f"++{y}[{call}];" if op.votes else f"{y}[{score}] += {call};")
    return Layer(op, tuple(functions), "\n    ".join(calls), ())


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


def _lines(branch: _Split | int, raised: int, indent: str) -> Sequence[str]:
    if not isinstance(branch, _Split):
        return [f"{indent}return {branch};"]
    return [
        f"{indent}if (x[{branch.feature}] <= {branch.threshold + raised}) {{",
        *_lines(branch.below, raised, f"{indent}    "),
        f"{indent}}}",
        *_lines(branch.above, raised, indent),
    ]
