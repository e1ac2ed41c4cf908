"""One layer of a recurrent module in one direction, as a torch module that notes the range of what its gates read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def _rnn(a: Tensor, b: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return torch.tanh(a + b), c


def _relu(a: Tensor, b: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    return torch.relu(a + b), c


def _gru(a: Tensor, b: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    (ar, az, an), (br, bz, bn) = a.chunk(3, 1), b.chunk(3, 1)
    new = torch.tanh(an + torch.sigmoid(ar + br) * bn)
    return new + torch.sigmoid(az + bz) * (h - new), c


def _lstm(a: Tensor, b: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    take, keep, new, give = (a + b).chunk(4, 1)
    c = torch.sigmoid(keep) * c + torch.sigmoid(take) * torch.tanh(new)
    return torch.sigmoid(give) * torch.tanh(c), c


_STEPS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "RNN_TANH": _rnn,
    "RNN_RELU": _relu,
    "GRU": _gru,
    "LSTM": _lstm,
}


@dataclass(frozen=True)
class Where:
    """Which part of a recurrent module: its path, the layer, the direction, and the step that is kept.

    ``pick`` is −1 for the last step; None keeps all.
    """

    path: str
    layer: int
    reverse: bool
    pick: int | None

    @property
    def suffix(self) -> str:
        """The end of the names of its parameters."""
        return f"_l{self.layer}{'_reverse' if self.reverse else ''}"


class Recurrence(nn.Module):
    """One layer of a recurrent module in one direction, from a state of zero.

    Running it notes what its fixed point has to hold.

    Attributes:
        where: which part of which module it is.
        mode: torch's name of the cell.
        out_reach: largest absolute output seen.
        cell_reach: largest absolute cell of an LSTM seen.
    """

    def __init__(self, owner: nn.RNNBase, where: Where) -> None:
        super().__init__()
        self.where = where
        self.mode = owner.mode
        self.units = owner.hidden_size
        self.out_reach = self.cell_reach = 0.0
        self.matrices = [getattr(owner, f"{name}{where.suffix}").detach() for name in ("weight_ih", "weight_hh")]
        zero = self.matrices[0].new_zeros(len(self.matrices[0]))
        given = (getattr(owner, f"{name}{where.suffix}", zero).detach() for name in ("bias_ih", "bias_hh"))
        self.biases = self._split(*given)

    def _split(self, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Give the input all biases but the one that a GRU multiplies by its reset gate."""
        apart = torch.zeros_like(second)
        if self.mode == "GRU":
            apart[2 * self.units :] = second[2 * self.units :]
        return first + second - apart, apart

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, units, time)`` for ``(batch, channels, time)``, or ``(batch, units)`` of one step."""
        h = c = x.new_zeros(len(x), self.units)
        outputs = [h] * x.shape[2]
        for step in sorted(range(x.shape[2]), reverse=self.where.reverse):
            a = x[:, :, step] @ self.matrices[0].T + self.biases[0]
            b = h @ self.matrices[1].T + self.biases[1]
            outputs[step], c = _STEPS[self.mode](a, b, h, c)
            h = outputs[step]
            self.out_reach = max(self.out_reach, float(h.abs().max()))
            self.cell_reach = max(self.cell_reach, float(c.abs().max()))
        return torch.stack(outputs, 2) if self.where.pick is None else outputs[self.where.pick]
