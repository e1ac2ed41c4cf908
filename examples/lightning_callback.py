"""One line more in an ordinary Lightning script: the callback makes the network binary, and C follows."""

import logging
import sys

import numpy as np
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import bitq

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)


class Digits(pl.LightningModule):
    """A script's own module: nothing in it knows of quantization."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10), nn.BatchNorm1d(10)
        )

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss."""
        x, y = batch
        return nn.functional.cross_entropy(self.model(x), y)

    def configure_optimizers(self) -> dict:
        """Adam, its rate annealed along a cosine."""
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        steps = int(self.trainer.estimated_stepping_batches)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


images, labels = load_digits(return_X_y=True)
x, y = torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(labels)
pl.seed_everything(0, verbose=False)
module = Digits()
loader = DataLoader(TensorDataset(x[:1400], y[:1400]), batch_size=64, shuffle=True)

quantization = bitq.Quantization({"*": "bipolar"}, submodule="model")
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
pl.Trainer(max_epochs=12, accelerator="cpu", callbacks=[quantization], **quiet).fit(module, loader)

spec = bitq.InputSpec(shape=(64,), scale=1 / 128, zero_point=0)
graph = bitq.lower(quantization.quantized, x[:1400], spec, name="digits")
folder = bitq.export(graph, sys.argv[1] if len(sys.argv) > 1 else "deploy")
scores, winners = bitq.load(folder).predict(np.clip(x[1400:].numpy() * 128, -128, 127).round().astype(np.int8))
print(f"{folder}: the C is right on {100 * np.mean(winners == labels[1400:]):.1f} % of the digits it never saw")
