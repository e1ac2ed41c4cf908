"""Recurrent layers in ONNX files: as torch exports them, and as the operators' own words have them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx")
from onnx.reference import ReferenceEvaluator  # noqa: E402

import bitq  # noqa: E402
from bitq.core.errors import DeployError  # noqa: E402
from bitq.ir.ops import Recurrent  # noqa: E402
from bitq.ir.reference import evaluate  # noqa: E402
from bitq.lowering.onnx import imported  # noqa: E402
from tests.lowering.onnx_files import Net, exported, weight  # noqa: E402

TIME, WIDTH = 12, 5


class Written(nn.Module):
    """A recurrent network whose forward pass is a function of it and its input ``(batch, time, channels)``."""

    def __init__(self, read, kind=nn.GRU, head=WIDTH, **options):
        super().__init__()
        self.rnn, self.head = kind(3, WIDTH, **{"batch_first": True, **options}), nn.Linear(head, 4)
        self.conv, self.read = nn.Conv1d(3, 3, 3), read

    def forward(self, x):
        return self.head(self.read(self, x))


def last(m, x):
    return m.rnn(x)[0][:, -1]


def behind_a_convolution(m, x):
    return m.rnn(torch.relu(m.conv(x.transpose(1, 2))).transpose(1, 2))[0][:, -1]


EXPORTED = {
    "the last step": (last, {}),
    "the state": (lambda m, x: m.rnn(x)[1][-1], {}),
    "an LSTM's state": (lambda m, x: m.rnn(x)[1][0][-1], {"kind": nn.LSTM, "bias": False}),
    "ReLU": (last, {"kind": nn.RNN, "nonlinearity": "relu"}),
    "the state of two layers": (lambda m, x: m.rnn(x)[1][-1], {"num_layers": 2}),
    "two layers both ways": (last, {"bidirectional": True, "num_layers": 2, "head": 2 * WIDTH}),
    "both states": (
        lambda m, x: torch.cat([m.rnn(x)[1][i] for i in (-2, -1)], 1),
        {"bidirectional": True, "head": 2 * WIDTH},
    ),
    "the mean of all steps": (lambda m, x: m.rnn(x)[0].mean(1), {}),
    "all steps in a row": (lambda m, x: m.rnn(x)[0].flatten(1), {"head": TIME * WIDTH}),
    "all steps": (lambda m, x: m.rnn(x)[0], {}),
    "behind a convolution": (behind_a_convolution, {}),
    "time first": (lambda m, x: m.rnn(x.permute(1, 0, 2))[0][-1], {"batch_first": False}),
    "a state of zeros": (lambda m, x: m.rnn(x, torch.zeros(1, x.size(0), WIDTH))[0][:, -1], {}),
}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", EXPORTED)
def test_the_same_network_through_a_file_is_the_same_integers(name, tmp_path):
    read, options = EXPORTED[name]
    torch.manual_seed(0)
    model = Written(read, **options).eval()
    rows = np.random.default_rng(0).integers(-128, 128, (100, TIME, 3)).astype(np.int8)
    x = torch.from_numpy(rows).float() / 64
    exported(model, (TIME, 3), tmp_path / "net.onnx")
    found = bitq.from_onnx(tmp_path / "net.onnx")
    direct, filed = (bitq.lower(bitq.post_training(m, {"*": "int8"}), x) for m in (model, found.model))
    assert [type(op) for op in direct.ops] == [type(op) for op in filed.ops]
    assert np.array_equal(evaluate(direct, rows).scores, evaluate(filed, rows).scores)


def cell(kind: str, units: int = 4, *, directions: int = 1, bias: bool = True, out: int = 0, **attributes) -> Net:
    """Return a network of one recurrent operator, whose output number ``out`` it gives."""
    rng, net = np.random.default_rng(1), Net(TIME, 3) if attributes.get("layout") else Net(3, steps=TIME)
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[kind] * units
    held = [net.const("w", rng.normal(0, 0.6, (directions, gates, 3)))]
    held.append(net.const("r", rng.normal(0, 0.6, (directions, gates, units))))
    if bias:
        held.append(net.const("b", rng.normal(0, 0.3, (directions, 2 * gates))))
    names = ["state", "cell"][: 1 + (kind == "LSTM")]
    first = net.add(kind, "x", *held, more=names, hidden_size=units, **attributes)
    net.last = [first, *names][out]
    return net


CELLS = {
    "RNN": cell("RNN"),
    "GRU": cell("GRU", linear_before_reset=1),
    "LSTM": cell("LSTM", bias=False),
    "GRU backward": cell("GRU", linear_before_reset=1, direction="reverse", out=1),
    "LSTM both ways": cell("LSTM", directions=2, direction="bidirectional"),
    "states of both ways": cell("LSTM", directions=2, direction="bidirectional", out=1),
}


@pytest.mark.parametrize("name", CELLS)
def test_an_operator_means_what_onnx_says(name):
    net = CELLS[name]
    model = net.model(net.last)
    x = (np.random.default_rng(0).integers(-128, 128, (200, TIME, 3)) / 64).astype(np.float32)
    (wanted,) = ReferenceEvaluator(model).run(None, {"x": x.swapaxes(0, 1)})
    wanted = np.moveaxis(wanted, -2, 0)
    found = imported(model)
    with torch.no_grad():
        assert np.allclose(found.model(torch.from_numpy(x)), wanted, atol=1e-5)
    graph = bitq.lower(bitq.post_training(found.model, {"*": "int8"}), torch.from_numpy(x), classify=False)
    out = graph.types()[graph.outputs[0]]
    scores = evaluate(graph, (x * 64).astype(np.int8)).scores * out.scale
    truth = np.moveaxis(wanted, 1, -1).reshape(scores.shape)
    assert np.abs(scores - truth).mean() < 0.02 * np.abs(truth).max()


def test_weights_that_are_integers_stay_what_they_are():
    rng, net = np.random.default_rng(0), Net(3, steps=TIME)
    codes = rng.integers(-127, 128, (1, 12, 3)).astype(np.int8)
    again = rng.integers(-127, 128, (1, 12, 4)).astype(np.int8)
    held = (weight(net, "w", codes, 0.005), weight(net, "r", again, 0.004))
    net.add("GRU", "x", *held, more=["state"], hidden_size=4, linear_before_reset=1)
    net.last = net.add("Squeeze", "state", net.const("axis", [0], np.int64))
    found = imported(net.model(net.last))
    x = torch.from_numpy(rng.integers(-128, 128, (100, TIME, 3)).astype(np.float32)) / 64
    graph = bitq.lower(found.quantized, x)
    (op,) = (op for op in graph.ops if isinstance(op, Recurrent))
    order = [*range(4, 8), *range(4), *range(8, 12)]  # ONNX has update before reset
    assert np.array_equal(op.input.weights.codes, codes[0][order])
    assert np.array_equal(op.state.weights.codes, again[0][order])


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (cell("GRU"), "linear_before_reset=0 resets before .*reset_after=True"),
        (cell("RNN", activations=["Sigmoid"]), r"activations=\['Sigmoid'\]; \['Tanh'\] are covered"),
        (cell("LSTM", clip=1.0), "clip is not covered; leave it out"),
        (cell("LSTM", input_forget=1), "input_forget=1 is not covered; use 0"),
    ],
)
def test_what_torch_cannot_express_is_refused_by_name(net, says):
    with pytest.raises(DeployError, match=rf"node 'v0' \((GRU|RNN|LSTM)\) cannot be imported: {says}"):
        imported(net.model(net.last))


def test_the_cell_after_the_last_step_is_refused_by_name():
    net = cell("LSTM", out=2)
    found = imported(net.model(net.last))
    with pytest.raises(DeployError, match="layer 'v0' cannot be lowered: its cell states are read"):
        bitq.lower(bitq.post_training(found.model, {"*": "int8"}), torch.randn(20, TIME, 3))
