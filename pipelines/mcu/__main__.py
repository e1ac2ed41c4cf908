"""What the reference networks cost on emulated cores: ``python -m pipelines.mcu [net=N1,N3] [bits=1] [core=…] …``.

Every network, codebook, optimization, core and compiler is one row: executed and compared on extremes and random
inputs, beside the plain loops of `plain.c` in the same run. Figures of others in ``peers.csv`` were measured earlier,
with the commits and compilers named there. Table (CSV and markdown) and figure go to ``mlruns/studies/mcu``.
"""

from __future__ import annotations

import csv
import io
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.core import files
from bitq.core.errors import BitqError, ConfigError, nearest
from bitq.core.processes import find_tool
from bitq.device.config import CORES, TargetConfig
from bitq.device.host import HostModel
from bitq.device.verify import Measurement, verify
from bitq.ir.graph import Graph
from bitq.ir.reference import evaluate
from bitq.ir.types import BIPOLAR, INT8, ODD2, ODD4, TERNARY, UINT7, UINT8
from pipelines.mcu.figure import Point, draw
from pipelines.mcu.forest import n5
from pipelines.mcu.forest import rows as rows_of
from pipelines.mcu.generators import GENERATORS, Generator, features_of
from pipelines.mcu.networks import NETWORKS, inputs_of
from pipelines.mcu.plain import write_plain
from pipelines.mcu.summary import Binary, summary

BITS = {"1": BIPOLAR, "ternary": TERNARY, "2": ODD2, "4": ODD4, "8": INT8}
ACTIVATIONS = {"8": UINT8, "7": UINT7}
FOLDER = Path("mlruns/studies/mcu")
_PEERS = Path(__file__).with_name("peers.csv")
_PLAIN = "plain int8"
_WITH = {"8": "", "7": ", 7-bit activations"}
_GAINING = ("N1", "N2")  # networks with layers that 7-bit activations make faster


@dataclass(frozen=True)
class Row:
    """One measured binary; instructions are the mean of an inference."""

    network: str
    core: str
    engine: str
    optimize: str
    compiler: str
    instructions: int | None
    cycles_estimate: int | None
    flash_bytes: int
    ram_bytes: int | None
    stack_bytes: int | None
    samples: int
    mismatches: int
    flags: str


def main(arguments: Sequence[str]) -> int:
    """Measure everything that was asked for and write table and figure; 5 where a result of ours was wrong."""
    try:
        given = _given(arguments)
        rows = list(_measure(given))
    except BitqError as error:
        print(f"mcu: {error}", file=sys.stderr)
        return error.exit_code
    write(rows)
    wrong = any(row.mismatches for row in rows if row.engine.startswith(("bitq", _PLAIN)))
    return 5 if wrong else 0


def write(rows: Sequence[Row]) -> None:
    """Write the table as CSV and markdown, with what was measured earlier behind it, and the figure."""
    table = [asdict(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    files.write_text(FOLDER / "mcu.csv", text.getvalue())
    names = {row.network for row in rows}
    with _PEERS.open(encoding="utf-8") as stream:
        earlier = [peer for peer in csv.DictReader(stream) if peer["network"] in names]
    binaries = [
        Binary(row.network, row.core, row.engine, row.instructions, row.flash_bytes, row.ram_bytes, earlier=False)
        for row in rows
        if row.instructions is not None
    ]
    binaries += [
        Binary(p["network"], p["core"], p["peer"], int(p["instructions"]), int(p["flash_bytes"]), None, earlier=True)
        for p in earlier
    ]
    lines = [
        summary(binaries),
        "",
        "All binaries:",
        "",
        _markdown(table),
        "",
        "Measured earlier:",
        "",
        _markdown(earlier),
    ]
    files.write_text(FOLDER / "mcu.md", "\n".join(lines) + "\n")
    points = [
        Point(row.network, row.core, row.engine, row.flash_bytes, row.instructions, earlier=False)
        for row in rows
        if row.instructions is not None
    ]
    points += [
        Point(b.network, b.core, b.engine, b.flash_bytes, b.instructions, earlier=True) for b in binaries if b.earlier
    ]
    print(draw(FOLDER / "mcu.png", points))
    print(FOLDER / "mcu.csv")


def _measure(given: dict[str, list[str]]) -> Iterator[Row]:
    samples = int(given["samples"][0])
    for network in given["net"]:
        for engine, graph in _engines(network, given["bits"], given["activations"]):
            x = inputs_of(graph, samples)
            expected = evaluate(graph, x)
            scores = expected.scores
            peer = _generator(engine)
            if peer is not None:
                x, scores = features_of(graph, x), expected.winners[:, None]
            x = x.reshape(-1, *input_shape(graph.input.shape))
            for mode in given["optimize"]:
                with tempfile.TemporaryDirectory(prefix="bitq-mcu-") as name:
                    folder = Path(name) / "deploy"
                    _write(folder, engine, graph, mode)
                    if network == "N5" and mode == given["optimize"][0]:
                        print(f"{network} {engine}: {_accuracy(folder, graph, is_peer=peer is not None)}", flush=True)
                    for target in _targets(given, mode):
                        libraries = peer.libraries(target.core) if peer else ()
                        measured = verify(folder, target, x, scores, expected.winners, libraries=libraries)
                        yield _told(_row(network, engine, mode, measured))


def _engines(network: str, bits: Sequence[str], activations: Sequence[str]) -> list[tuple[str, Graph]]:
    if network != "N5":
        mine = [
            (f"bitq {which} bit{_WITH[width]}", NETWORKS[network](BITS[which], ACTIVATIONS[width]))
            for which in bits
            for width in activations
            if width == "8" or network in _GAINING
        ]
        return [(_PLAIN, NETWORKS[network](INT8, INT8)), *mine]
    for peer in GENERATORS:
        if peer.missing:
            print(peer.missing, file=sys.stderr)
    return [("bitq", n5()), *((peer.name, n5()) for peer in GENERATORS if not peer.missing)]


def _write(folder: Path, engine: str, graph: Graph, mode: str) -> None:
    if engine == _PLAIN:
        write_plain(folder, graph)
    elif engine.startswith("bitq"):
        none = np.zeros((0, graph.input.size), graph.input.dtype.array)
        vectors = vectors_of(graph, none, np.zeros(0, np.int64), at_least=1)
        write_deploy(folder, graph, DeployInfo(), vectors, mode)
    elif (peer := _generator(engine)) is not None:
        peer.write(folder)


def _generator(engine: str) -> Generator | None:
    return next((peer for peer in GENERATORS if engine.startswith(peer.package)), None)


def _accuracy(folder: Path, graph: Graph, *, is_peer: bool) -> str:
    """Return in words how many rows of the forest's data the C, built for this machine, decides rightly."""
    model, shares = HostModel(folder), list[float]()
    for held_out in (False, True):
        x, y = rows_of(held_out=held_out)
        winners = model.predict(features_of(graph, x) if is_peer else x).winners
        shares.append(100 * float((winners == y).mean()))
    return (
        f"{shares[0]:.1f} % of the rows that the forest was fitted to are right, {shares[1]:.1f} % of those held out"
    )


def _targets(given: dict[str, list[str]], mode: str) -> list[TargetConfig]:
    compilers = [name for name in given["compiler"] if name != "gcc" or find_tool("arm-none-eabi-gcc")]
    return [TargetConfig(name=core, compiler=name, optimize=mode) for core in given["core"] for name in compilers]


def _row(network: str, engine: str, mode: str, m: Measurement) -> Row:
    cost = (m.instructions, m.cycles_estimate, m.flash_bytes, m.ram_bytes, m.stack_bytes)
    return Row(network, m.target, engine, mode, m.compiler, *cost, m.samples_checked, m.mismatches, m.flags)


def _told(row: Row) -> Row:
    executed = "-" if row.instructions is None else f"{row.instructions:,}"
    name = f"{row.network} {row.core:14} {row.engine:28} {row.optimize:9} {row.compiler:26}"
    print(f"{name} {executed:>11} insn {row.flash_bytes:>7,} B flash {row.ram_bytes or 0:>6,} B RAM", flush=True)
    if row.mismatches:
        print(f"  NOT EXACT: {row.mismatches:,} of {row.samples:,} samples differ", flush=True)
    return row


def _markdown(table: Sequence[dict[str, object]] | Sequence[dict[str, str]]) -> str:
    if not table:
        return "nothing"
    lines = [" | ".join(table[0]), "|".join(["---"] * len(table[0]))]
    lines += [" | ".join(map(str, row.values())) for row in table]
    return "\n".join(f"| {line} |" for line in lines)


def _given(arguments: Sequence[str]) -> dict[str, list[str]]:
    allowed: dict[str, Sequence[str]] = {
        "net": tuple(NETWORKS),
        "bits": tuple(BITS),
        "activations": tuple(ACTIVATIONS),
        "optimize": ("size", "balanced", "speed"),
        "core": tuple(CORES),
        "compiler": ("zig", "gcc"),
    }
    given = {key: list(values) for key, values in allowed.items()}
    given |= {"bits": ["1"], "core": ["cortex_m0plus", "cortex_m4"], "samples": ["1000"]}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in given:
            raise ConfigError(f"unknown argument '{key}'.{nearest(key, tuple(given))}")
        given[key] = value.split(",")
        for one in given[key]:
            if key == "samples" and not one.isdigit():
                raise ConfigError(f"samples: must be a number, got '{one}'.")
            if key != "samples" and one not in allowed[key]:
                raise ConfigError(f"{key}: '{one}' is not known.{nearest(one, allowed[key])}")
    return given


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
