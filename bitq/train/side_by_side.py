"""Layers that hold R networks' layers side by side, and the way into them and back.

Every wide layer maps ``(batch, R · channels, …)`` to ``(batch, R · channels, …)``, block by block; so a forward pass
that treats channels as one axis needs no change. A parameter ``(out, …)`` becomes ``(R · out, …)`` under its name.
Layers over time compute on images of one row whose channels lie innermost in memory, where torch's kernels for many
groups and channels are several times as fast.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import Tensor, nn


def _row(x: Tensor) -> Tensor:
    """Return ``(batch, channels, time)`` as ``(batch, channels, 1, time)``, channels innermost in memory."""
    return x.unsqueeze(2).contiguous(memory_format=torch.channels_last)


class WideConv1d(nn.Conv1d):
    """A convolution over time, by way of images."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """Compute as torch does."""
        row, (padding,) = _row(input), self.padding
        stride, dilation = (1, *self.stride), (1, *self.dilation)
        return F.conv2d(
            row, self.weight.unsqueeze(2), self.bias, stride, (0, int(padding)), dilation, self.groups
        ).squeeze(2)


class WideBatchNorm1d(nn.BatchNorm1d):
    """A batch norm whose inputs over time go by way of images."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """Compute as torch does."""
        return super().forward(input) if input.dim() == 2 else super().forward(_row(input)).squeeze(2)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  torch's name
        """Take images, too."""


class WideMaxPool1d(nn.MaxPool1d):
    """A pool over time, by way of images."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  torch's name
        """Compute as torch does."""
        # An integer alone would count for both axes.
        kernel, stride, padding, dilation = (
            (edge, size if isinstance(size, int) else size[0])
            for edge, size in ((1, self.kernel_size), (1, self.stride), (0, self.padding), (1, self.dilation))
        )
        return F.max_pool2d(_row(input), kernel, stride, padding, dilation, self.ceil_mode).squeeze(2)


class WideMean1d(nn.Module):
    """The mean over time."""

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(batch, channels, 1)``; taken this way, its gradient has channels innermost."""
        return x.transpose(1, 2).mean(1).unsqueeze(2)


class WideLinear(nn.Module):
    """R dense layers: ``(batch, R · in)`` to ``(batch, R · out)``.

    Attributes:
        weight: ``(R · out, in)``.
        bias: ``(R · out,)`` or None.
    """

    def __init__(self, replicas: int, outputs: int, inputs: int, *, bias: bool) -> None:
        super().__init__()
        self._replicas = replicas
        self.weight = nn.Parameter(torch.empty(replicas * outputs, inputs))
        self.bias = nn.Parameter(torch.empty(replicas * outputs)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Multiply every replica's inputs with its own matrix."""
        each = x.reshape(len(x), self._replicas, -1).transpose(0, 1)
        weight = self.weight.view(self._replicas, -1, each.shape[2]).transpose(1, 2)
        if self.bias is None:
            y = torch.bmm(each, weight)
        else:
            y = torch.baddbmm(self.bias.view(self._replicas, 1, -1), each, weight)
        return y.transpose(0, 1).reshape(len(x), -1)


class WideGru(nn.Module):
    """R GRUs of one layer: ``(batch, time, R · in)`` to ``(batch, time, R · hidden)``, and the last state.

    Attributes:
        hidden_size: units of one replica.
    """

    def __init__(self, replicas: int, inputs: int, hidden: int) -> None:
        super().__init__()
        self._replicas, self.hidden_size = replicas, hidden
        rows = 3 * hidden * replicas
        self.weight_ih_l0 = nn.Parameter(torch.empty(rows, inputs))
        self.weight_hh_l0 = nn.Parameter(torch.empty(rows, hidden))
        self.bias_ih_l0 = nn.Parameter(torch.empty(rows))
        self.bias_hh_l0 = nn.Parameter(torch.empty(rows))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Run every replica over its own inputs, from a state of zeros; gates in torch's order r, z, n."""
        count, hidden = self._replicas, self.hidden_size
        batch, time = x.shape[:2]
        each = x.unflatten(2, (count, -1)).permute(2, 1, 0, 3).flatten(1, 2)
        w_ih, w_hh = (w.unflatten(0, (count, -1)).transpose(1, 2) for w in (self.weight_ih_l0, self.weight_hh_l0))
        b_ih, b_hh = (b.reshape(count, 1, -1) for b in (self.bias_ih_l0, self.bias_hh_l0))
        inputs = torch.baddbmm(b_ih, each, w_ih).unflatten(1, (time, batch))
        gates, news = (part.unbind(1) for part in inputs.split([2 * hidden, hidden], dim=3))
        state = x.new_zeros(count, batch, hidden)
        steps: list[Tensor] = []
        for gate, new in zip(gates, news, strict=True):
            gate_h, new_h = torch.baddbmm(b_hh, state, w_hh).split([2 * hidden, hidden], dim=2)
            reset, keep = (gate + gate_h).sigmoid().chunk(2, dim=2)
            state = torch.lerp(torch.addcmul(new, reset, new_h).tanh(), state, keep)
            steps.append(state)
        return torch.stack(steps, dim=1).permute(2, 1, 0, 3).flatten(2), state


def stack(models: Sequence[nn.Module]) -> nn.Module:
    """Return one network that holds all of them, for inputs ``(batch, R · channels, …)``.

    Raises:
        TypeError: a layer with parameters is none that can be widened.
    """
    wide = _widened(models[0], len(models))
    states = [model.state_dict() for model in models]
    wide.load_state_dict({k: torch.cat([s[k] for s in states]) if v.dim() else v for k, v in states[0].items()})
    return wide.train(models[0].training)


def unstack(wide: nn.Module, models: Sequence[nn.Module]) -> None:
    """Copy the weights and statistics of a wide network back to the networks that it was made of."""
    state = wide.state_dict()
    for index, model in enumerate(models):
        parts = {key: value.chunk(len(models))[index] if value.dim() else value for key, value in state.items()}
        model.load_state_dict(parts)


def _widened(layer: nn.Module, replicas: int) -> nn.Module:
    """Return a layer that is ``replicas`` times as wide, with weights yet to be set."""
    if isinstance(layer, nn.Linear):
        return WideLinear(replicas, *layer.weight.shape, bias=layer.bias is not None)  # pyright: ignore[reportUnnecessaryComparison]
    if isinstance(layer, nn.GRU):
        if layer.num_layers > 1 or layer.bidirectional or not layer.bias or not layer.batch_first or layer.proj_size:
            raise TypeError("a GRU of one layer, one direction, batch first, can be widened")
        return WideGru(replicas, layer.input_size, layer.hidden_size)
    if isinstance(layer, nn.Conv1d | nn.Conv2d):
        simple = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
        kind = WideConv1d if isinstance(layer, nn.Conv1d) and simple else type(layer)
        sizes = (layer.in_channels * replicas, layer.out_channels * replicas, layer.kernel_size)
        options = {"groups": layer.groups * replicas, "bias": layer.bias is not None, "dilation": layer.dilation}
        return kind(*sizes, layer.stride, layer.padding, padding_mode=layer.padding_mode, **options)  # pyright: ignore[reportArgumentType]
    if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
        kind = WideBatchNorm1d if isinstance(layer, nn.BatchNorm1d) else nn.BatchNorm2d
        width, tracked = layer.num_features * replicas, layer.track_running_stats
        return kind(width, layer.eps, layer.momentum, layer.affine, tracked)
    if isinstance(layer, nn.MaxPool1d) and not layer.return_indices:
        return WideMaxPool1d(
            layer.kernel_size, layer.stride, layer.padding, layer.dilation, ceil_mode=layer.ceil_mode
        )
    if isinstance(layer, nn.AdaptiveAvgPool1d) and layer.output_size in (1, (1,)):
        return WideMean1d()
    if any(True for _ in layer.parameters(recurse=False)) or any(True for _ in layer.buffers(recurse=False)):
        raise TypeError(f"{type(layer).__name__} cannot be widened")
    wide = copy.copy(layer)
    wide._modules = {name: child and _widened(child, replicas) for name, child in layer._modules.items()}  # pyright: ignore[reportPrivateUsage]
    return wide
