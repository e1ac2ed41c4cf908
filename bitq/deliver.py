"""From an integer graph to a deploy folder whose C and firmware were run and compared. Runs in a worker process."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitq.codegen.deploy import NO_LABEL, vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo
from bitq.core.processes import report
from bitq.data.dataset import Dataset, to_chip
from bitq.device.config import TargetConfig
from bitq.device.host import HostModel
from bitq.device.verify import Measurement, verify
from bitq.ir.graph import Graph
from bitq.ir.reference import evaluate

VECTOR_ROWS = 1000
FIRMWARE_ROWS = 1000


@dataclass(frozen=True, eq=False)
class Delivery:
    """What to deliver: the graph of the chosen seed, where to, and for which target."""

    variant: str
    graph: Graph
    folder: Path
    target: TargetConfig


@dataclass(frozen=True)
class Delivered:
    """A written and verified deploy folder.

    Attributes:
        variant: its name.
        parameter_bytes: see `bitq.codegen.emit.parameter_bytes`.
        host_samples: rows of the test split that the host's C was run on.
        host_mismatches: rows where any score or the winner differed from the reference.
        measurement: sizes and exactness on the target.
    """

    variant: str
    parameter_bytes: int
    host_samples: int
    host_mismatches: int
    measurement: Measurement


def run_delivery(data: Dataset, delivery: Delivery) -> Delivered:
    """Write the deploy folder of one variant, then run its C on the host and its firmware on the target.

    The host sees the whole test split; the emulated core sees as many of its rows as the target asks for, and
    never fewer than 1,000 rows: random ones are added where the split is smaller.

    Raises:
        DeployError: the C does not compile, the firmware cannot be run, or a tool is missing.
    """
    graph = delivery.graph
    info = DeployInfo(
        classes=data.classes if data.task == "classification" else (),
        preprocess=tuple((step.name, dict(step.parameters)) for step in data.preprocess),
        rate_hz=data.rate_hz,
        channels=data.channels,
        units=data.units,
        data_license=data.license,
        hop=delivery.target.hop,
    )
    published = data.test if data.redistributable else data.stand_ins or data.test.take(np.zeros(0, np.int64))
    rows, labels = to_chip(published.x[:VECTOR_ROWS]), published.y[:VECTOR_ROWS]
    if data.task == "regression":
        labels = np.full(len(rows), NO_LABEL)
    vectors = vectors_of(graph, rows, labels, at_least=VECTOR_ROWS)
    manifest = write_deploy(delivery.folder, graph, info, vectors, delivery.target.optimize)
    inputs = to_chip(data.test.x)
    expected = evaluate(graph, inputs)
    host = HostModel(delivery.folder).predict(inputs)
    wrong = (host.scores != expected.scores).any(axis=1) | (host.winners != expected.winners)
    firmware = _pick(inputs, delivery.target.samples)
    truth = evaluate(graph, firmware)
    measured = verify(
        delivery.folder,
        replace(delivery.target, samples=0),
        firmware,
        truth.scores,
        truth.winners,
        on_progress=lambda done, total: report((done, total)),
    )
    return Delivered(delivery.variant, manifest.parameter_bytes, len(inputs), int(wrong.sum()), measured)


def _pick(inputs: NDArray[np.int8], samples: int) -> NDArray[np.int8]:
    """Return evenly spaced rows, topped up with random ones to `FIRMWARE_ROWS`."""
    count = min(samples or len(inputs), len(inputs))
    chosen = inputs[np.linspace(0, len(inputs) - 1, count).astype(np.int64)]
    extra = (max(0, FIRMWARE_ROWS - count), *inputs.shape[1:])
    return np.concatenate([chosen, np.random.default_rng(0).integers(-128, 128, extra, dtype=np.int8)])
