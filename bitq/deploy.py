"""Check or measure a deploy folder: ``python -m bitq.deploy verify DIR`` and ``python -m bitq.deploy size DIR``.

``verify`` runs the folder's own test vectors on this machine and on emulated cores; it ends with 0 only where every
sample was executed and exact. ``size`` lists the linked firmware's sections and symbols, the largest first.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from bitq.core.errors import BitqError, DeployError
from bitq.device import deployment, image
from bitq.device.config import TARGETS, TargetConfig
from bitq.device.elf import SIZED
from bitq.device.host import HostModel
from bitq.device.verify import verify


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 5 not exact, not executed or not built."""
    parser = argparse.ArgumentParser(prog="python -m bitq.deploy", description="Check or measure a deploy folder.")
    parser.add_argument("command", choices=("verify", "size"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--target", action="append", choices=tuple(TARGETS), help="default: cortex_m0plus")
    parser.add_argument("--optimize", default="balanced", choices=("size", "balanced", "speed"))
    given = parser.parse_args(arguments)
    targets = [TargetConfig(name=name, optimize=given.optimize) for name in given.target or ["cortex_m0plus"]]
    try:
        lines = _verify(given.folder, targets) if given.command == "verify" else _size(given.folder, targets)
    except BitqError as error:
        print(f"bitq.deploy: {error}", file=sys.stderr)  # noqa: T201  the command's answer
        return error.exit_code
    exact = True
    for line, passed in lines:
        print(line)  # noqa: T201
        exact = exact and passed
    return 0 if exact else DeployError.exit_code


def _verify(folder: Path, targets: list[TargetConfig]) -> list[tuple[str, bool]]:
    model = HostModel(folder)
    vectors = model.deployment.vectors()
    found = model.predict(vectors.input)
    differs = (found.scores != vectors.scores).any(axis=1) | (found.winners != vectors.winner)
    wrong, count = int(differs.sum()), len(vectors.input)
    verdict = f"NOT EXACT: {wrong:,} of {count:,} samples differ" if wrong else f"exact on {count:,} samples"
    lines = [(f"{'target':14}{'flash B':>9}{'RAM B':>9}{'insn':>12}  verdict", True)]
    lines.append((f"{'host':14}{'-':>9}{'-':>9}{'-':>12}  {verdict} ({model.compiler})", not wrong))
    for target in targets:
        m = verify(folder, target, vectors.input, vectors.scores, vectors.winner)
        ram, executed = ("-" if value is None else f"{value:,}" for value in (m.ram_bytes, m.instructions))
        line = f"{m.target:14}{m.flash_bytes:>9,}{ram:>9}{executed:>12}  {m.verdict} ({m.compiler} {m.flags})"
        lines.append((line, m.passed))
    return lines


def _size(folder: Path, targets: list[TargetConfig]) -> list[tuple[str, bool]]:
    model = deployment.read(folder)
    lines: list[str] = []
    for target in targets:
        with tempfile.TemporaryDirectory(prefix="bitq-size-") as temporary:
            built = image.link(model, target, Path(temporary))
        sections = "  ".join(f"{name} {built.elf.sizes[name]:,}" for name in SIZED)
        lines.append(f"{target.core.display}: model {built.flash_bytes:,} B flash; image: {sections}")
        largest = sorted(built.elf.symbols, key=lambda symbol: (-symbol.size, symbol.name))
        lines += [f"{symbol.size:>9,}  {symbol.section:8} {symbol.name}" for symbol in largest if symbol.size]
    return [(line, True) for line in lines]


if __name__ == "__main__":
    sys.exit(main())
