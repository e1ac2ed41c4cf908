"""A float checkpoint becomes a hybrid: 1 bit in the first layer, 8 bits in the head, after a short further training.

    python examples/checkpoint.py [DEPLOY_FOLDER] [safetensors|pt]

The command line does the same with any network and data: ``train.init=FILE``.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_digits
from torch import nn

import bitq

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(labels)
torch.manual_seed(0)


def network() -> nn.Sequential:
    """Return the network with fresh weights."""
    return nn.Sequential(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    """Take steps on random batches."""
    for _ in range(steps):
        rows = torch.randint(0, 1400, (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
        optimizer.step()


def save(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write weights to a file."""
    if path.suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path)


def load(path: Path) -> dict[str, torch.Tensor]:
    """Read weights from a file; neither way runs code that may be in it."""
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)


checkpoint = Path(tempfile.mkdtemp()) / f"float.{sys.argv[2] if len(sys.argv) > 2 else 'safetensors'}"
model = network()
train(model, torch.optim.Adam(model.parameters(), lr=1e-2), 200)
save(model.state_dict(), checkpoint)

model = network()
model.load_state_dict(load(checkpoint))
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
quantizer = bitq.quantize(model, {"*": "int8", "0.weight": "bipolar"}, optimizer, total_steps=200)
train(model, optimizer, 200)

spec = bitq.InputSpec(shape=(64,), scale=1 / 128, zero_point=0)
graph = bitq.lower(quantizer.finish(), x[:1400], spec, name="digits")
folder = bitq.export(graph, sys.argv[1] if len(sys.argv) > 1 else "deploy")
scores, winners = bitq.load(folder).predict(np.clip(x[1400:].numpy() * 128, -128, 127).round().astype(np.int8))
print(f"{folder}: the C is right on {100 * np.mean(winners == labels[1400:]):.1f} % of the digits it never saw")
