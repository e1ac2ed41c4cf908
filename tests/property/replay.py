"""Run one graph from a file through everybody who can run it: ``python -m tests.property.replay FILE``."""

import sys
from pathlib import Path

from bitq.ir.json import from_json
from tests.property.agreement import disagreements
from tests.property.builds import GCC, ZIG


def main(file: str) -> int:
    """Print the graph's operations and every disagreement; return how many there are, at most 1."""
    graph = from_json(Path(file).read_text())
    for op in graph.ops:
        print(f"{op.name}: {type(op).__name__}({', '.join(op.inputs)}) -> {op.out.dtype.name} {op.out.shape}")
    wrong = list(disagreements(graph, [*GCC, *ZIG], loops=True))
    print("\n".join(wrong) or f"reference, simulation, loops and {len(GCC + ZIG)} builds agree")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
