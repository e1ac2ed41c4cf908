"""The table in short: of every engine its fastest and its smallest binary on each core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Binary(NamedTuple):
    """One binary: whose it is and what it costs."""

    network: str
    core: str
    engine: str
    instructions: int
    flash_bytes: int
    ram_bytes: int | None
    earlier: bool


def summary(binaries: Sequence[Binary]) -> str:
    """Return a markdown table; an engine that was measured earlier says so."""
    lines = [
        "| network | core | engine | fastest | | smallest | | RAM of the smallest |",
        "|---|---|---|---|---|---|---|---|",
    ]
    keys = sorted(dict.fromkeys((b.network, b.core, b.earlier, b.engine) for b in binaries))
    for network, core, earlier, engine in keys:
        mine = [b for b in binaries if (b.network, b.core, b.earlier, b.engine) == (network, core, earlier, engine)]
        fastest = min(mine, key=lambda b: (b.instructions, b.flash_bytes))
        smallest = min(mine, key=lambda b: (b.flash_bytes, b.instructions))
        name = f"{engine}, earlier" if earlier else engine
        ram = "" if smallest.ram_bytes is None else f"{smallest.ram_bytes:,} B"
        cells = [network, core, name, *_cost(fastest), *_cost(smallest), ram]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _cost(binary: Binary) -> tuple[str, str]:
    return f"{binary.instructions:,}", f"{binary.flash_bytes:,} B"
