"""Check or measure a deploy folder: ``python -m bitq.deploy verify|size DIR [--target NAME] …``.

``verify`` runs the folder's test vectors here and on emulated cores; 0 only where all were executed and exact.
``size`` says how many bytes of the linked firmware each layer takes, and each function and table in it.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from bitq.core.errors import BitqError, DeployError
from bitq.device import deployment, image
from bitq.device.config import TARGETS, TargetConfig
from bitq.device.cycles import estimate
from bitq.device.host import HostModel
from bitq.device.sizemap import size_map
from bitq.device.verify import verdict, verify


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 done, 5 not exact, not executed or not built."""
    parser = argparse.ArgumentParser(prog="python -m bitq.deploy")
    parser.add_argument("command", choices=("verify", "size"))
    parser.add_argument("folder", type=Path)
    parser.add_argument(
        "--target", action="append", type=_name, choices=tuple(TARGETS), help="default: cortex_m0plus"
    )
    parser.add_argument("--optimize", default="balanced", choices=("size", "balanced", "speed"))
    parser.add_argument("--compiler", default="auto", choices=("auto", "zig", "gcc"))
    given = parser.parse_args(arguments)
    targets = [
        TargetConfig(name=name, optimize=given.optimize, compiler=given.compiler)
        for name in given.target or ["cortex_m0plus"]
    ]
    try:
        done = (_verify if given.command == "verify" else _size)(given.folder, targets)
    except BitqError as error:
        print(f"bitq.deploy: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0 if done else DeployError.exit_code


def _verify(folder: Path, targets: list[TargetConfig]) -> bool:
    model = HostModel(folder)
    vectors = model.deployment.vectors()
    scores, winners = model.predict(vectors.input)
    wrong = int(((scores != vectors.scores).any(axis=1) | (winners != vectors.winner)).sum())
    print(f"{'target':14}{'flash B':>9}{'RAM B':>9}{'insn':>12}  verdict")  # noqa: T201
    print(f"{'host':14}{'-':>9}{'-':>9}{'-':>12}  {verdict(wrong, len(vectors.input))} ({model.compiler})")  # noqa: T201
    results = [verify(folder, target, vectors.input, vectors.scores, vectors.winner) for target in targets]
    for m in results:
        ram, executed = ("-" if value is None else f"{value:,}" for value in (m.ram_bytes, m.instructions))
        print(f"{m.target:14}{m.flash_bytes:>9,}{ram:>9}{executed:>12}  {m.verdict} ({m.compiler} {m.flags})")  # noqa: T201
        if m.cycles_estimate is not None:
            print(f"{'':14}estimate: {estimate(m.target, m.cycles_estimate)}")  # noqa: T201
    return wrong == 0 and all(m.passed for m in results)


def _size(folder: Path, targets: list[TargetConfig]) -> bool:
    model = deployment.read(folder)
    for target in targets:
        with tempfile.TemporaryDirectory(prefix="bitq-size-") as temporary:
            built = image.link(model, target, Path(temporary))
        sections = "  ".join(f"{name} {size:,}" for name, size in built.elf.sizes.items())
        print(f"{target.core.display}: model {built.flash_bytes:,} B flash; image: {sections}")  # noqa: T201
        print(f"{'flash':>9}{'tables':>9}{'code':>9}{'RAM':>9}  layer")  # noqa: T201
        for part in size_map(built, model.layers, model.name):
            print(f"{part.flash:>9,}{part.constants:>9,}{part.code:>9,}{part.ram:>9,}  {part.name}")  # noqa: T201
            for symbol in part.symbols:
                print(f"{symbol.size:>36,}    {symbol.section:8} {symbol.name}")  # noqa: T201
    return True


def _name(text: str) -> str:
    """Take the name of a core as vendors write it, too: cortex-m4 is cortex_m4."""
    return text.lower().replace("-", "_").replace("m0+", "m0plus")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `… size DIR | head` ends without a word
    sys.exit(main())
