"""Training throughput in ratios: CPU time of one process and one thread, all in one run.

    python -m pipelines.bench                                  # everything
    python -m pipelines.bench part=loop,repeats net=imu epochs=5 rounds=3

``loop``: bitq's Lightning path beside a plain PyTorch loop over the same float network. ``repeats``: 8 seeds, and 8
regularization strengths, in one fit beside a lone one. ``peers``: an epoch of quantization-aware training at 1 bit
with bitq, Brevitas and torchao (``pip install brevitas torchao``), each on the same network in the same plain loop.
``users``: the same as a user would run each: bitq's own training, log and all; the others in the loop of their
READMEs, a DataLoader that shuffles and torch's Adam as it comes. No contender validates while it trains. They take
turns; each has its least time over the rounds.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from bitq.config import ExperimentConfig, compose
from bitq.core.errors import BitqError
from bitq.data.dataset import Dataset
from bitq.data.load import load
from bitq.experiment import build_model
from bitq.quant.quantizer import Quantizer
from bitq.train.fit import fit
from bitq.train.inference import to_float
from bitq.train.stacked import fit_stacked
from pipelines.arguments import choices
from pipelines.methods import NETS as STUDIED

NETS = {
    "imu": ("experiment=face2wake", "model=mlp", "model.hidden=[16]", "train.batch=32"),
    "cnn1d": ("experiment=face2wake",),
    "gesture": STUDIED["gesture"],
    "lenet": STUDIED["lenet"],
}
REPLICAS = 8
ONE_BIT = {"*": "bipolar"}

Contender = Callable[[], Any]
Adam = Callable[[Any], torch.optim.Optimizer]
"""From parameters, or groups of them, to their optimizer."""
Prepare = Callable[[nn.Module, int, Adam], tuple[nn.Module, Any]]
"""From a float network, the steps of its training and an optimizer to what is trained, and how."""


class Bench:
    """The contenders on one network."""

    def __init__(self, net: str, epochs: int) -> None:
        config = compose([*NETS[net]])
        self.data: Dataset = load(config.data)
        self.config: ExperimentConfig = replace(config, train=replace(config.train, epochs=epochs, eval_rows=1))

    def model(self, seed: int = 0) -> nn.Module:
        """Return the float network of a seed."""
        return build_model(self.config, self.data, seed)

    def lone(self, **how: Any) -> None:
        """Train as `bitq.run` does."""
        fit(self.model(), self.data, self.config.train, 0, on_test=False, **how)

    def together(self, **how: Any) -> None:
        """Train eight at once."""
        models = [self.model(seed) for seed in range(REPLICAS)]
        fit_stacked(models, self.data, self.config.train, range(REPLICAS), on_test=False, **how)

    def plain(self, prepare: Prepare) -> None:
        """Train in a loop over tensors in memory with a fused Adam."""
        train = self.config.train
        x, y = to_float(self.data.train.x, self.data.input), torch.from_numpy(self.data.train.y)
        model = self.model()
        if x.dim() == 4:
            model.to(memory_format=torch.channels_last)
            x = x.contiguous(memory_format=torch.channels_last)
        steps = len(x) // train.batch

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            order = torch.randperm(len(x))
            for step in range(steps):
                index = order[step * train.batch : (step + 1) * train.batch]
                yield x[index], y[index]

        adam = partial(torch.optim.Adam, lr=train.lr, fused=True)
        self._loop(*prepare(model, steps * train.epochs, adam), batches)

    def loader(self, prepare: Prepare) -> None:
        """Train in the loop of the libraries' READMEs: a DataLoader that shuffles, and Adam as it comes."""
        train = self.config.train
        x, y = to_float(self.data.train.x, self.data.input), torch.from_numpy(self.data.train.y)
        batches = DataLoader(TensorDataset(x, y), train.batch, shuffle=True, drop_last=True)
        adam = partial(torch.optim.Adam, lr=train.lr)
        self._loop(*prepare(self.model(), len(batches) * train.epochs, adam), lambda: iter(batches))

    def _loop(
        self, model: nn.Module, optimizer: Any, batches: Callable[[], Iterator[Sequence[torch.Tensor]]]
    ) -> None:
        loss_of = nn.CrossEntropyLoss(weight=torch.tensor(self.data.class_weights))
        model.train()
        for _ in range(self.config.train.epochs):
            for x, y in batches():
                loss = loss_of(model(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()

    def float_loop(self, model: nn.Module, steps: int, adam: Adam) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return what a float training needs."""
        return model, adam(model.parameters())

    def bitq_loop(self, model: nn.Module, steps: int, adam: Adam) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return the network under bitq's default method."""
        model, optimizer = self.float_loop(model, steps, adam)
        Quantizer(model, ONE_BIT, self.config.quant).attach(optimizer, steps)
        return model, optimizer

    def brevitas_loop(self, model: nn.Module, steps: int, adam: Adam) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Return the network with its layers replaced by Brevitas' own, weights binary with a constant scale."""
        return self.float_loop(_with_brevitas(model), steps, adam)

    def torchao_loop(self, model: nn.Module, steps: int, adam: Adam) -> tuple[nn.Module, Any]:
        """Return the network under torchao's PARQ optimizer at one bit."""
        from torchao.prototype.parq.optim import ProxHardQuant, QuantOptimizer
        from torchao.prototype.parq.quant import LSBQuantizer

        weights = [p for p in model.parameters() if p.dim() > 1]
        others = [p for p in model.parameters() if p.dim() <= 1]
        groups = [{"params": weights, "quant_bits": 1}, {"params": others}]
        return model, QuantOptimizer(adam(groups), LSBQuantizer(), ProxHardQuant(), warmup_steps=0, quant_period=1)


def _with_brevitas(model: nn.Module) -> nn.Module:
    from brevitas import nn as qnn
    from brevitas.quant import SignedBinaryWeightPerTensorConst

    how = {"weight_quant": SignedBinaryWeightPerTensorConst}
    for name, layer in list(model.named_children()):
        if isinstance(layer, nn.GRU):
            raise TypeError("Brevitas has no GRU layer")
        other: nn.Module | None = None
        if isinstance(layer, nn.Linear):
            other = qnn.QuantLinear(layer.in_features, layer.out_features, bias=layer.bias is not None, **how)
        elif isinstance(layer, nn.Conv1d | nn.Conv2d):
            kind = qnn.QuantConv1d if isinstance(layer, nn.Conv1d) else qnn.QuantConv2d
            sizes = (layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, layer.padding)
            other = kind(*sizes, bias=layer.bias is not None, **how)
        if other is not None:
            setattr(model, name, other)
    return model


def compare(contenders: dict[str, Contender], rounds: int) -> dict[str, float]:
    """Return each one's least CPU time in seconds, or none of one that cannot run; they take turns."""
    least: dict[str, float] = {}
    for name, contender in list(contenders.items()):
        try:
            contender()
        except (ImportError, AttributeError, RuntimeError, TypeError) as error:
            print(f"  {name}: cannot run here ({type(error).__name__}: {str(error).splitlines()[0][:150]})")
            del contenders[name]
    for _ in range(rounds):
        for name, contender in contenders.items():
            started = time.process_time()
            contender()
            least[name] = min(least.get(name, float("inf")), time.process_time() - started)
    return least


def report(title: str, found: dict[str, float], epochs: int) -> None:
    """Print CPU seconds per epoch and ratios to the first contender."""
    base = next(iter(found.values()))
    parts = [f"{name} {seconds / epochs:.3f} s ({seconds / base:.2f})" for name, seconds in found.items()]
    print(f"{title}: {', '.join(parts)}", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Print one line per network and part."""
    try:
        given = choices(arguments, part="loop,repeats,peers,users", net=",".join(NETS), epochs="4", rounds="3")
        torch.set_num_threads(1)
        epochs, rounds = int(given["epochs"]), int(given["rounds"])
        print(f"CPU s per epoch (ratio to the first), {epochs} epochs, one thread, torch {torch.__version__}")
        for net in given["net"].split(","):
            bench = Bench(net, epochs)
            method = {"policy": ONE_BIT, "method": bench.config.quant}
            vector = {**method, "strengths": [0.1 * 2**i for i in range(REPLICAS)]}
            parts: dict[str, dict[str, Contender]] = {
                "loop": {"plain": lambda b=bench: b.plain(b.float_loop), "Lightning": bench.lone},
                "repeats": {
                    "one": lambda b=bench, m=method: b.lone(**m),
                    f"{REPLICAS} seeds": lambda b=bench, m=method: b.together(**m),
                    f"{REPLICAS} strengths": lambda b=bench, m=vector: b.together(**m),
                },
                "peers": {
                    "bitq": lambda b=bench: b.plain(b.bitq_loop),
                    "float": lambda b=bench: b.plain(b.float_loop),
                    "brevitas": lambda b=bench: b.plain(b.brevitas_loop),
                    "torchao": lambda b=bench: b.plain(b.torchao_loop),
                },
                "users": {
                    "bitq": lambda b=bench, m=method: b.lone(**m),
                    "float": lambda b=bench: b.loader(b.float_loop),
                    "brevitas": lambda b=bench: b.loader(b.brevitas_loop),
                    "torchao": lambda b=bench: b.loader(b.torchao_loop),
                },
            }
            for part in given["part"].split(","):
                report(f"{net} {part}", compare(parts[part], rounds), epochs)
        missing = [name for name in ("brevitas", "torchao") if importlib.util.find_spec(name) is None]
        if {"peers", "users"} & set(given["part"].split(",")) and missing:
            print(f"not installed: {', '.join(missing)}; pip install {' '.join(missing)}")
    except BitqError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
