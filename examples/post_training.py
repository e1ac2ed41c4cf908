"""A network that was trained in float, rounded to 8 bits without any training, exported and run as C."""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

import bitq

images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(labels)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))

optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)  # any training of yours, anywhere
for _ in range(200):
    rows = torch.randint(0, 1400, (64,))
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
    optimizer.step()

quantized = bitq.post_training(model, {"*": "int8"})
spec = bitq.InputSpec(shape=(64,), scale=1 / 128, zero_point=0)
folder = bitq.export(bitq.lower(quantized, x[:1400], spec, name="digits"), sys.argv[1] if sys.argv[1:] else "deploy")
scores, winners = bitq.load(folder).predict(np.clip(x[1400:].numpy() * 128, -128, 127).round().astype(np.int8))
print(f"{folder}: the C is right on {100 * np.mean(winners == labels[1400:]):.1f} % of the digits it never saw")
