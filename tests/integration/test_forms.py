"""What people write in a forward pass: it goes all the way to integers that mean the same, or is refused by name."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  the name that everyone gives it
from torch import nn

from bitq.config import compose
from bitq.core.errors import ConfigError
from bitq.core.registry import Entry
from bitq.data.dataset import to_chip
from bitq.data.load import load
from bitq.ir.reference import evaluate
from bitq.lowering.lower import lower
from bitq.nn.config import MODELS, MlpConfig
from bitq.quant.quantizer import Quantizer
from bitq.rehearsal import check_variants
from tests.networks import ROUND_ONLY


class Own(nn.Module):
    """Layers for images of 8 by 8, and what somebody does with them; layers that nobody reads cost nothing."""

    def __init__(self, steps, layer=None):
        super().__init__()
        self.steps, self.out = steps, nn.LazyLinear(10)
        self.conv, self.two, self.more = (nn.Conv2d(i, o, 3, padding=1) for i, o in ((1, 4), (1, 4), (4, 4)))
        self.each, self.rnn = nn.Linear(8, 8), nn.GRU(8, 6, batch_first=True)
        self.turned = nn.GRU(8, 6)
        self.layer = layer() if layer else nn.Identity()
        self.gain = nn.Parameter(torch.rand(1, 4, 1, 1))
        self.register_buffer("mean", torch.tensor(0.2))

    def forward(self, x):
        return self.steps(self, x)


def head(steps):
    return lambda m, x: m.out(steps(m, x).flatten(1))


def on_conv(steps):
    return head(lambda m, x: steps(m.conv(x)))


def unpacked(m, x):
    a, b = m.conv(x).chunk(2, dim=1)
    return a * torch.sigmoid(b)


def dense_blocks(m, x):
    found = [x]
    for layer in m.layer:
        found.append(F.relu(layer(torch.cat(found, 1))))
    return torch.cat(found, 1)


def in_place(m, x):
    y = m.conv(x)
    y += m.two(x)
    y.mul_(2).relu_()
    return y


def noise_in_training(m, x):
    if m.training:
        x = x + torch.randn_like(x)
    return m.conv(x)


def mixed(m, x):
    x = x.squeeze(1)
    return x + m.each(F.relu(m.each(x.transpose(1, 2))).transpose(1, 2))


WORKS = {
    "view by size": lambda m, x: m.out(F.relu(m.conv(x)).view(x.size(0), -1)),
    "cat": head(lambda m, x: torch.cat((m.conv(x), m.two(x)), 1)),
    "cat of flat ones": head(lambda m, x: torch.cat((m.conv(x).flatten(1), m.two(x).flatten(1)), 1)),
    "cat of rows": head(lambda m, x: torch.cat((m.conv(x), m.two(x)), 2)),
    "cat of columns": head(lambda m, x: torch.cat((m.conv(x), m.two(x)), -1)),
    "a limit on one side": on_conv(lambda y: torch.clamp(y, max=0.5)),
    "cat of one": on_conv(lambda y: torch.cat([y], 1)),
    "chunk": head(unpacked),
    "split": on_conv(lambda y: torch.split(y, [1, 3], dim=1)[1]),
    "permute": on_conv(lambda y: y.permute(0, 2, 3, 1).contiguous()),
    "stack": on_conv(lambda y: torch.stack((y[:, 0], y[:, 1] * 2), 1)),
    "stack and sum": head(lambda m, x: torch.stack([m.conv(x)[:, 0], m.two(x)[:, 0]], dim=-1).sum(-1)),
    "F.linear": head(lambda m, x: F.linear(x, m.each.weight, bias=m.each.bias)),
    "F.conv2d": head(lambda m, x: F.conv2d(x, m.conv.weight, m.conv.bias, stride=2, padding=1)),
    "all by name": head(lambda m, x: F.relu(input=m.conv(input=torch.add(input=x, other=x)))),
    "the sum of parts": head(lambda m, x: sum(F.relu(part) for part in m.conv(x).chunk(2, dim=1))),
    "branches on shapes": head(lambda m, x: m.conv(x if x.dim() == 4 and x.shape[1] == 1 else x[:, :1])),
    "sizes in sizes": on_conv(lambda y: y[..., : y.shape[-1] // 2].reshape(y.size(0), y.size(1) * y.size(2), -1)),
    "a kernel by size": on_conv(lambda y: F.avg_pool2d(y, kernel_size=y.size()[2:])),
    "channels shuffled": on_conv(lambda y: y.view(y.size(0), 2, y.size(1) // 2, 64).transpose(1, 2).flatten(1)),
    "a loop over steps": on_conv(lambda y: sum(y[..., i] for i in range(0, y.shape[-1], 4))),
    "a type in question": head(lambda m, x: m.conv(x if x.dtype == torch.float32 else x.float())),
    "a gate that is expanded": on_conv(lambda y: y * torch.sigmoid(y.mean((2, 3), keepdim=True)).expand_as(y)),
    "a gain of the last axis": head(lambda m, x: m.conv(x).permute(0, 2, 3, 1) * m.gain.flatten()),
    "parameters computed": head(lambda m, x: m.conv(x) * torch.softmax(m.gain.flatten(), 0).view(1, -1, 1, 1)),
    "time before batch": head(lambda m, x: m.turned(m.conv(x)[:, :1].permute(2, 0, 1, 3).flatten(2))[0][-1]),
    "time before batch by sizes": head(
        lambda m, x: m.turned((y := m.conv(x[..., :2]).permute(2, 0, 3, 1)).reshape(y.size(0), y.size(1), -1))[0][-1]
    ),
    "the state alone": head(lambda m, x: m.rnn(x.squeeze(1))[1].squeeze(0)),
    "roll": on_conv(lambda y: torch.roll(y, 1, -1)),
    "differences": on_conv(lambda y: y[..., 1:] - y[..., :-1]),
    "a list as index": on_conv(lambda y: y[:, [0, 2]]),
    "new axes": head(lambda m, x: m.conv(x[:, 0][:, None])),
    "mean": on_conv(lambda y: torch.mean(y, dim=(2, 3))),
    "mean of channels": on_conv(lambda y: y.mean(1)),
    "two means": on_conv(lambda y: y.mean(3).mean(2)),
    "amax": on_conv(lambda y: y.amax((2, 3))),
    "max and its place": on_conv(lambda y: y.max(dim=-1).values),
    "max by number": on_conv(lambda y: torch.max(y, 2)[0]),
    "abs": on_conv(torch.abs),
    "exp": on_conv(torch.exp),
    "sine": on_conv(torch.sin),
    "root": on_conv(lambda y: F.relu(y).sqrt()),
    "cube": on_conv(lambda y: y**3),
    "swish by hand": on_conv(lambda y: y * torch.sigmoid(y)),
    "hard swish by hand": on_conv(lambda y: y * F.relu6(y + 3) / 6),
    "a fraction": on_conv(lambda y: y / (1 + y.abs())),
    "one over": on_conv(lambda y: 1 / (1 + F.relu(y))),
    "a gain of one's own": head(lambda m, x: m.conv(x) * m.gain),
    "a buffer": head(lambda m, x: m.conv((x - m.mean) / 0.5)),
    "a border": head(lambda m, x: m.conv(F.pad(x, (1, 1, 0, 2)))),
    "squeeze and excite": on_conv(lambda y: y * y.mean((2, 3))[:, :, None, None]),
    "casts": head(lambda m, x: m.conv(x.to(m.mean.device).float().detach().clone())),
    "dropout": head(lambda m, x: F.dropout(m.conv(x), 0.5, training=m.training)),
    "alpha dropout": head(lambda m, x: F.alpha_dropout(m.conv(x), 0.5, m.training)),
    "noise in training": head(noise_in_training),
    "in place": head(in_place),
    "in place and dropped": head(lambda m, x: [y := m.conv(x), y.clamp_(0, 1)][0]),
    "shared": head(lambda m, x: F.relu(m.more(F.relu(m.more(m.conv(x)))))),
    "a sum of steps": head(lambda m, x: F.relu(sum(m.each(x[:, 0, i]) for i in range(4)))),
    "a dense layer at every step": head(lambda m, x: F.relu(m.each(x.squeeze(1)))),
    "a dense layer at every place": head(lambda m, x: m.each(m.conv(x))),
    "a mixer": head(mixed),
    "the last step": head(lambda m, x: m.rnn(x.squeeze(1))[0][:, -1]),
    "steps turned": head(lambda m, x: m.rnn(x.squeeze(1).transpose(1, 2))[0][:, -1]),
    "the largest step": head(lambda m, x: m.rnn(x.squeeze(1))[0].max(1)[0]),
    "the sum of steps": head(lambda m, x: m.rnn(x.squeeze(1))[0].sum(1)),
    "a state of zeros": head(lambda m, x: m.rnn(x.squeeze(1), torch.zeros(1, x.size(0), 6))[0][:, -1]),
    "softmax at the end": lambda m, x: F.softmax(m.out(x.flatten(1)), dim=-1),
    "squeezed at the end": lambda m, x: m.out(x.flatten(1))[:, :, None, None].squeeze(),
}


class OwnConv(nn.Conv2d):
    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3, padding=1)


class SamePadded(nn.Conv2d):
    def forward(self, x):
        size, kernel, stride = x.shape[-1], self.weight.shape[-1], self.stride[0]
        pad = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        if pad > 0:
            x = F.pad(x, [pad // 2, pad - pad // 2] * 2)
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


LAYERS = {
    "subclass": (head(lambda m, x: m.layer(x)), lambda: OwnConv(1, 3)),
    "subclass with a forward pass": (head(lambda m, x: m.layer(x)), lambda: SamePadded(1, 3, 3, stride=2)),
    "module list": (head(dense_blocks), lambda: nn.ModuleList([nn.Conv2d(1, 3, 3, 1, 1), nn.Conv2d(4, 3, 3, 1, 1)])),
    "module dict": (head(lambda m, x: m.layer["a"](x)), lambda: nn.ModuleDict({"a": nn.Conv2d(1, 3, 3)})),
    "nested": (
        head(lambda m, x: m.layer(x)),
        lambda: nn.Sequential(nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU()), nn.Sequential(nn.MaxPool2d(2))),
    ),
}

IN_PLACE = "changes a value in place that it reads by another name"


def assigned(y):
    y[:, 0] = 0
    return y


def through_a_view(y):
    y[:, :2].mul_(3)
    return y


def after_a_view(y):
    z = y.flatten(1)
    F.relu(y, inplace=True)
    return z


def by_two_names(y):
    z = y
    z += 1
    return y


def branching(y):
    return y * 2 if y.mean() > 0 else y


REFUSED = {
    "stack of rows": (on_conv(lambda y: torch.stack((y, y)).mean(0)), "'stack' .*Use torch.stack or .*along dim=1"),
    "einsum": (on_conv(lambda y: torch.einsum("bchw,bchw->bh", y, y)), "'einsum' .*Use nn.Linear"),
    "matmul": (on_conv(lambda y: y @ y.transpose(2, 3)), "'matmul' .*Use nn.Linear"),
    "attention": (on_conv(lambda y: F.scaled_dot_product_attention(y, y, y)), "'scaled_dot.*Use nn.GRU"),
    "layer norm": (on_conv(lambda y: F.layer_norm(y, (8,))), "'layer_norm' .*Use nn.BatchNorm"),
    "a weight that is computed": (
        head(lambda m, x: F.conv2d(x, m.conv.weight / m.conv.weight.std())),
        "computed of parameters alone, is read .*by 'conv2d'.*nn.Conv2d",
    ),
    "a product of matrices": (head(lambda m, x: x @ m.each.weight), "'each.weight' .*by 'matmul'.*nn.Linear"),
    "upsampling": (on_conv(lambda y: F.interpolate(y, scale_factor=2)), "'interpolate' .*Use nn.Linear"),
    "condition": (on_conv(branching), r"traced \(test_forms.py, line \d+\).*not branch or assert on"),
    "comparison": (on_conv(lambda y: y * (y > 0)), "'gt' .*Use F.relu"),
    "comparison as numbers": (on_conv(lambda y: (y > 0).float()), "'gt' .*Use F.relu"),
    "assignment": (on_conv(assigned), "traced .*set part of"),
    "in place through a view": (on_conv(through_a_view), IN_PLACE),
    "in place after a view": (on_conv(after_a_view), IN_PLACE),
    "in place by two names": (on_conv(by_two_names), IN_PLACE),
    "dropout in inference": (on_conv(lambda y: F.dropout(y, 0.5)), "'dropout'.*training=self.training"),
    "repeat": (head(lambda m, x: m.more(x.repeat(1, 4, 1, 1))), "'repeat'.*repeats elements"),
    "a sum that broadcasts": (on_conv(lambda y: y - y.mean((2, 3), keepdim=True)), "'sub'.*need one shape"),
    "a constant per place": (on_conv(lambda y: y + torch.ones(1, 4, 8, 8)), "'add'.*one per channel"),
    "softmax within": (on_conv(lambda y: torch.softmax(y, 1)), "'softmax'.*as the last step"),
    "mirrored border": (on_conv(lambda y: F.pad(y, (1, 1, 1, 1), mode="reflect")), "'pad'.*only 'constant'"),
    "indices": (on_conv(lambda y: F.max_pool2d(y, 2, return_indices=True)[0]), "'max_pool2d.*return_indices=False"),
    "spectrum": (on_conv(lambda y: torch.fft.rfft(y).abs()), "'fft_rfft' in the forward pass"),
    "rows counted": (on_conv(lambda y: y * 2 if y.shape[0] > 4 else y), "traced .*number of rows"),
    "the length of the batch": (on_conv(lambda y: y.view(len(y), -1)), r"traced .*len\(\) .*write x\.shape\[0\]"),
    "another type": (on_conv(lambda y: y.to(torch.float64).float()), "'to'.*torch.float64"),
    "a learned state": (
        head(lambda m, x: m.rnn(x.squeeze(1), m.gain[0, 0].expand(1, x.size(0), 6))[0][:, -1]),
        "'rnn'.*first state must be zero",
    ),
    "a tuple": (lambda m, x: (m.out(x.flatten(1)), x), "gives a tuple; training needs one tensor"),
    "a dict": (lambda m, x: {"y": m.out(x.flatten(1))}, "gives a dict; training needs one tensor"),
}


def tied():
    layers = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
    layers[1].weight = layers[0].weight
    return layers


READ = head(lambda m, x: m.layer(m.conv(x)))
REFUSED_LAYERS = {
    "layer norm": (READ, lambda: nn.LayerNorm(8), "'layer' .LayerNorm.*Use nn.BatchNorm"),
    "group norm": (READ, lambda: nn.GroupNorm(2, 4), "'layer' .GroupNorm.*Use nn.BatchNorm"),
    "transposed": (READ, lambda: nn.ConvTranspose2d(4, 2, 2, 2), "'layer' .ConvTranspose2d.*Use nn.Linear"),
    "upsample": (READ, lambda: nn.Upsample(scale_factor=2), "'layer' .Upsample.*Use nn.Linear"),
    "pixel shuffle": (READ, lambda: nn.PixelShuffle(2), "'layer' .PixelShuffle.*Use nn.Conv2d"),
    "gated": (READ, lambda: nn.GLU(1), r"'layer' .GLU.*Use nn.Sigmoid as a gate"),
    "old norm of weights": (READ, lambda: nn.utils.weight_norm(nn.Linear(8, 4)), "'layer'.*remove_weight_norm"),
    "norm of weights": (READ, lambda: nn.utils.parametrizations.weight_norm(nn.Linear(8, 4)), "remove_parametriz"),
    "mirrored": (READ, lambda: nn.Conv2d(4, 2, 3, padding=1, padding_mode="reflect"), "'layer'.*only zeros"),
    "nested": (READ, lambda: nn.Sequential(nn.Sequential(nn.LPPool2d(2, 2))), r"'layer\.0\.0' .LPPool2d.*Use"),
    "dilated pool": (READ, lambda: nn.MaxPool2d(2, dilation=2), "'layer'.*dilation=2 is not covered; use 1"),
    "uneven pool": (READ, lambda: nn.AdaptiveAvgPool2d(3), "'layer'.*use a divisor of 8"),
    "tied": (READ, tied, r"layer\.1\.weight is the same parameter as layer\.0\.weight"),
    "attention": (
        head(lambda m, x: m.layer(x[:, 0], x[:, 0], x[:, 0])[0]),
        lambda: nn.MultiheadAttention(8, 2, batch_first=True),
        "'layer' .MultiheadAttention.*Use nn.GRU",
    ),
    "cell states": (
        head(lambda m, x: m.layer(x.squeeze(1))[1][1][-1]),
        lambda: nn.LSTM(8, 6, batch_first=True),
        "'layer'.*its cell states are read; use its output",
    ),
}


@pytest.fixture(scope="module")
def data():
    return load(compose(["experiment=digits"]).data)


@pytest.fixture
def check(monkeypatch, data):
    """Return what a run does with a network before it trains."""

    def checked(build) -> None:
        monkeypatch.setitem(MODELS._entries, "mlp", Entry(MlpConfig, lambda *_: build()))
        check_variants(compose(["experiment=digits", "~variants.float", "~variants.hybrid"]), data)

    return checked


WORKING = {**{name: (steps, None) for name, steps in WORKS.items()}, **LAYERS}


@pytest.mark.parametrize("name", WORKING)
def test_it_becomes_integers_that_mean_the_same(name, check, data):
    steps, layer = WORKING[name]
    check(lambda: Own(steps, layer))
    torch.manual_seed(0)
    model, spec = Own(steps, layer).eval(), data.input
    x = np.random.default_rng(0).integers(-128, 128, (200, *spec.shape)).astype(np.int8)
    real = (torch.from_numpy(x).float() - spec.zero_point) * spec.scale
    model(real)  # lets the lazy layer learn its width
    quantized = Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish()
    with torch.no_grad():
        truth = quantized.model(real).numpy()
    agree = evaluate(lower(quantized, real, spec), to_chip(x)).winners == truth.argmax(axis=1)
    assert agree.mean() > 0.95


EVERY = {**{name: (steps, None, says) for name, (steps, says) in REFUSED.items()}, **REFUSED_LAYERS}


@pytest.mark.parametrize("name", EVERY)
def test_it_is_refused_before_training_with_what_could_replace_it(name, check):
    steps, layer, says = EVERY[name]
    with pytest.raises(ConfigError, match=says):
        check(lambda: Own(steps, layer))
