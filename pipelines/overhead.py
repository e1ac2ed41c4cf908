"""What a method costs in training: CPU time of whole trainings beside float ones, log and all, in one run.

    python -m pipelines.overhead                                # the default method on four networks
    python -m pipelines.overhead net=lenet method=ste_msqe,hq bits=1,2 rounds=5

Float and low-bit trainings take turns, on one thread; each has its least time over the rounds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from bitq.config import compose
from bitq.core.errors import BitqError
from bitq.data.dataset import Dataset
from bitq.data.load import load
from bitq.experiment import build_model
from bitq.train.fit import fit
from pipelines.arguments import choices
from pipelines.methods import BITS, NETS

EPOCHS = 2


def cpu_seconds(net: str, data: Dataset, method: str | None, bits: str) -> float:
    """Return the CPU time of one training, without reading the test split."""
    config = compose([*NETS[net], *([] if method is None else [f"quant={method}"])])
    model = build_model(config, data, 0)
    train = replace(config.train, epochs=EPOCHS)
    started = time.process_time()
    if method is None:
        fit(model, data, train, 0, on_test=False)
    else:
        fit(model, data, train, 0, policy={"*": BITS[bits]}, method=config.quant, on_test=False)
    return time.process_time() - started


def main(arguments: Sequence[str]) -> int:
    """Print one line per network, method and bits."""
    try:
        given = choices(arguments, net="mlp16,lenet,cnn2k,gesture", method="ste_msqe", bits="1", rounds="3")
        torch.set_num_threads(1)
        head = f"{'network':10} {'method':16} {'bits':8} {'float':>8} {'low-bit':>8} {'more':>7}"
        print(f"{head}   CPU s, {EPOCHS} epochs")
        for net in given["net"].split(","):
            data = load(compose([*NETS[net]]).data)
            kinds = [(m, b) for m in given["method"].split(",") for b in given["bits"].split(",")]
            least: dict[tuple[str | None, str], float] = {}
            for _ in range(int(given["rounds"])):
                for kind in [(None, ""), *kinds]:
                    least[kind] = min(least.get(kind, float("inf")), cpu_seconds(net, data, *kind))
            base = least[None, ""]
            for method, bits in kinds:
                low = least[method, bits]
                print(f"{net:10} {method:16} {bits:8} {base:8.2f} {low:8.2f} {100 * (low / base - 1):+6.1f}%")
    except BitqError as error:
        print(f"overhead: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
