"""The integer graph against the rounded float network, layer by layer and as a whole."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import fx, nn

from bitq.core.errors import DeployError, RangeError
from bitq.data.dataset import InputSpec
from bitq.ir.graph import Graph
from bitq.ir.reference import evaluate, values
from bitq.ir.types import INT8, INT32, UINT7, UINT8
from bitq.lowering.lower import lower
from bitq.lowering.trace import trace
from bitq.quant.quantizer import Quantizer
from bitq.train.inference import to_float
from tests.networks import ROUND_ONLY, Case, build, draw, learn

CASES = [
    Case((6,), ("fc",)),
    Case((6,), ("fc", "fc"), gains="negative"),
    Case((6,), ("fc",), gains="tiny"),
    Case((6,), ("fc",), gains="dead"),
    Case((6,), ("fc",), head="norm", gains="negative", scale="channel"),
    Case((6,), ("fc",), head="norm", gains="tiny"),
    Case((6,), ("fc",), head="bare"),
    Case((3, 16), ("conv", "max", "bias", "mean", "flat"), gains="negative"),
    Case((3, 16), ("same", "avg", "flat"), head="bare"),
    Case((3, 15), ("strided", "maxpad", "flat", "fc"), zero_point=5),
    Case((3, 15), ("conv", "flat"), gains="tiny"),
    Case((3, 15), ("conv", "flat"), gains="dead", head="norm"),
    Case((2, 9, 8), ("conv", "max", "flat", "fc"), scale="channel"),
    Case((2, 9, 8), ("same", "maxpad", "flat"), gains="negative", zero_point=-128),
    Case((1, 9, 8), ("strided", "bias", "mean", "flat"), gains="tiny", head="norm"),
    Case((2, 9, 8), ("bias", "avg", "flat"), gains="dead"),
    *(
        Case((2, 9, 8), ("conv", "depth", "point", "flat"), book=book)
        for book in ("bipolar", "ternary", "odd4", "int8")
    ),
    Case((4, 20), ("depth", "dilated", "groups", "flat"), scale="channel", zero_point=9),
    Case((4, 9, 9), ("dilated", "groups", "mean", "flat"), gains="negative"),
    *(Case((2, 7, 7), ("same", "flat", "fc"), book=book) for book in ("ternary", "odd2", "odd3", "odd4", "int8")),
    *(Case((2, 12), ("conv", "flat"), book=book, scale="channel") for book in ("ternary", "odd4", "int8")),
]


class _Compared(fx.Interpreter):
    """Runs the float network on what each integer layer really read, and notes how far its output is, in steps."""

    def __init__(self, model: nn.Module, graph: Graph, integers: dict[str, np.ndarray]) -> None:
        super().__init__(trace(model.double()))
        self.lowered = graph
        self.integers = integers
        self.apart: dict[str, float] = {}
        self.open: str | None = None

    def run_node(self, n: fx.Node):
        result = super().run_node(n)
        if n.op == "output" or isinstance(self.submodules.get(str(n.target)), nn.Flatten):
            return result
        ops = {op.layer: op for op in self.lowered.ops}
        self.open = self.open if n.target not in ops else str(n.target)
        following = next(iter(n.users))
        module = self.submodules.get(following.target)
        if self.open is None or isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.ReLU | nn.Dropout):
            return result
        op, self.open = ops[self.open], None
        rows = self.integers[op.name]
        steps = result.movedim(1, -1).reshape(rows.shape).numpy() / op.out.scale + op.out.zero_point
        if op.out.dtype is not INT32:
            low = -127 if op.out.dtype.low < 0 else 0
            steps = steps.clip(low, op.out.dtype.high)
            self.apart[op.name] = float(np.abs(np.rint(steps) - rows).max())
        else:
            # Scores may have finer steps than the accumulator, and a bias is a whole number of its units.
            r = op.rescale
            unit = r.multiplier.max() / 2 ** (r.pre_shift + r.shift) if r else 1.0
            self.apart[op.name] = float(np.abs(steps - rows).max() / max(1.0, unit, np.abs(steps).max() / 1000))
        real = torch.from_numpy((rows - op.out.zero_point) * op.out.scale)
        return (real.movedim(-1, 1) if real.dim() > 2 else real).reshape(result.shape)


def to_chip(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(x, 1, -1) if x.ndim > 2 else x


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_layer_is_within_one_step_of_the_rounded_float_layer(case):
    rounded, x, spec = build(case)
    calibration = to_float(x, spec)
    graph = lower(rounded, calibration, spec)
    unseen, _ = draw(case, 1000, seed=1)
    with torch.no_grad():
        decided = rounded.model(to_float(unseen, spec)).argmax(dim=1).numpy()
        compared = _Compared(rounded.model, graph, values(graph, to_chip(x)))
        compared.run(calibration.double())

    assert compared.apart
    assert max(compared.apart.values()) <= 1, compared.apart
    assert (evaluate(graph, to_chip(unseen)).winners == decided).mean() >= 0.99


def lowered(model: nn.Module, shape: tuple[int, ...], policy: dict[str, str] | None = None) -> Graph:
    rounded = Quantizer(model, policy or {"*": "bipolar"}, ROUND_ONLY).finish()
    x = torch.randint(-128, 128, (300, *shape), generator=torch.Generator().manual_seed(0)).float() / 64
    return lower(rounded, x, InputSpec(shape, 1 / 64, 0))


def named(**modules: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(modules))


class Functional(nn.Module):
    def __init__(self, head: str) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.head = head

    def forward(self, x: torch.Tensor):
        y = self.fc(x)
        match self.head:
            case "sort":
                return y.sort(1)
            case "floor":
                return y.floor()
            case "pair":
                return y, y
            case _:
                return y if x.sum() > 0 else -y


def image(*tail: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), *tail)


@pytest.mark.parametrize(
    ("model", "shape", "says"),
    [
        (nn.Sequential(nn.Conv1d(2, 4, 3, padding=1, padding_mode="circular")), (2, 9), "layer '0'.*circular"),
        (image(nn.MaxPool2d(2, dilation=2)), (1, 8, 8), "layer '2'.*dilation=2"),
        (image(nn.MaxPool2d(2, return_indices=True)), (1, 8, 8), "layer '2'.*return_indices"),
        (image(nn.AvgPool2d(2, padding=1, count_include_pad=False)), (1, 8, 8), "layer '2'.*count_include_pad"),
        (image(nn.AvgPool2d(2, ceil_mode=True)), (1, 8, 8), "layer '2'.*ceil_mode"),
        (image(nn.AvgPool2d(2, divisor_override=3)), (1, 8, 8), "layer '2'.*divisor_override=3"),
        (image(nn.AdaptiveAvgPool2d(4)), (1, 8, 8), "layer '2'.*output_size=4 of 6 places.*a divisor of 6"),
        (image(nn.Flatten(0)), (1, 8, 8), "layer '2'.*rows of a batch"),
        (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)), (4,), "'1'.*track_running"),
        (nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Tanhshrink())), (4,), "'1.0' .Tanhshrink.*Use nn.ReLU"),
        (
            nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3)),
            (4,),
            "'1' .LayerNorm.*Use nn.BatchNorm1d",
        ),
        (Functional("sort"), (4,), "'sort' in the forward pass.*Use x.amax"),
        (Functional("floor"), (4,), "'floor' in the forward pass.*Covered: AdaptiveAvgPool, .*GRU, .*activations"),
        (Functional("pair"), (4,), "returns a value twice"),
        (Functional("branch"), (4,), "Functional cannot be traced.*not branch or assert on values"),
    ],
    ids=str,
)
def test_what_is_not_covered_is_refused_by_its_path(model, shape, says):
    with pytest.raises(DeployError, match=f"(?s){says}") as caught:
        lowered(model, shape)
    assert "0x" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_float_layer_is_refused_with_the_line_that_helps():
    model = named(body=nn.Linear(4, 3), relu=nn.ReLU(), head=nn.Linear(3, 2))
    with pytest.raises(DeployError, match=r"head\.weight is not quantized.*'head\.weight: int8'"):
        lowered(model, (4,), {"body.weight": "bipolar"})


def test_layers_may_be_called_like_values_of_the_graph():
    model = named(
        input=nn.Linear(4, 3),
        a=nn.Sequential(nn.ReLU(), nn.Linear(3, 3)),
        a_1=nn.Linear(3, 3),
        winner=nn.Linear(3, 2),
    )
    graph = lowered(model, (4,))
    assert [op.layer for op in graph.ops if op.layer] == ["input", "a.1", "a_1", "winner"]


def test_values_that_are_not_finite_are_refused_by_layer():
    model = named(fc=nn.Linear(4, 3), norm=nn.BatchNorm1d(3), relu=nn.ReLU())
    with torch.no_grad():
        model.norm.weight[1] = float("nan")
    with pytest.raises(DeployError, match="'norm' gives values that are not finite"):
        lowered(model, (4,))


def test_calibration_needs_rows():
    rounded = Quantizer(nn.Sequential(nn.Linear(4, 3)), {"*": "bipolar"}, ROUND_ONLY).finish()
    with pytest.raises(DeployError, match="got none"):
        lower(rounded, torch.zeros(0, 4), InputSpec((4,), 1.0, 0))


@pytest.mark.parametrize("gain", [0.0, 1e-20])
def test_a_dead_batch_norm_leaves_its_biases(gain):
    model = named(fc=nn.Linear(4, 3), norm=nn.BatchNorm1d(3), relu=nn.ReLU(), head=nn.Linear(3, 2))
    with torch.no_grad():
        model.norm.weight.fill_(gain)
        model.norm.bias.copy_(torch.tensor([1.0, 0.5, -1.0]))
    graph = lowered(model, (4,))
    rows = np.random.default_rng(0).integers(-128, 128, (200, 4))
    assert np.abs(values(graph, rows)["fc"] - [255, 128, 0]).max() <= 1


def test_a_layer_that_is_dead_on_the_calibration_rows_can_be_lowered():
    model = named(fc=nn.Linear(4, 3), relu=nn.ReLU(), head=nn.Linear(3, 2))
    with torch.no_grad():
        model.fc.bias.fill_(-1000.0)
    graph = lowered(model, (4,))
    assert (values(graph, np.ones((1, 4), int))["fc"] == 0).all()


def test_a_head_of_zeros_keeps_its_biases_in_order():
    model = named(fc=nn.Linear(4, 3), relu=nn.ReLU(), head=nn.Linear(3, 3))
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([1.0, 3.0, 2.0]))
    graph = lowered(model, (4,))
    scores = evaluate(graph, np.random.default_rng(0).integers(-128, 128, (50, 4))).scores
    assert (scores.argsort(axis=1) == [0, 2, 1]).all()


def test_a_layer_wider_than_int32_is_refused_by_name():
    model = named(wide=nn.Linear(140_000, 2, bias=False), relu=nn.ReLU(), head=nn.Linear(2, 2))
    with torch.no_grad():
        model.wide.weight.fill_(1.0)
    rounded = Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish()
    with pytest.raises(RangeError, match=r"layer wide: .*int32"):
        lower(rounded, torch.rand(4, 140_000), InputSpec((140_000,), 1 / 127, 0))


def test_equal_gains_hand_out_accumulators_and_others_a_rescale():
    bare, _, spec = build(Case((6,), ("fc",), head="bare"))
    norm, x, _ = build(Case((6,), ("fc",), head="norm"))
    heads = [lower(m, to_float(x, spec), spec).ops[-2] for m in (bare, norm)]
    assert [head.rescale is None for head in heads] == [True, False]
    assert all(head.out.dtype is INT32 for head in heads)


def test_scores_are_in_the_order_of_torch_whatever_they_were_flattened_from():
    torch.manual_seed(0)
    model = image(nn.Conv2d(3, 2, 3), nn.Flatten())
    graph = lowered(model, (1, 8, 8), {"*": "int8"})
    x = torch.randint(-128, 128, (300, 1, 8, 8), generator=torch.Generator().manual_seed(1)).float() / 64
    with torch.no_grad():
        truth = model(x).numpy()
    found = evaluate(graph, to_chip((x.numpy() * 64).astype(np.int8)))
    assert np.abs(found.scores * graph.types()[graph.outputs[0]].scale - truth).max() < 0.05 * np.abs(truth).max()
    assert (found.winners == truth.argmax(axis=1)).mean() > 0.9


def test_without_classes_there_is_no_winner():
    rounded, x, spec = build(Case((6,), ("fc",)))
    graph = lower(rounded, to_float(x, spec), spec, classify=False)
    assert graph.winner is None
    assert (evaluate(graph, x).winners == 0).all()


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.ReLU(), nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(24, 4)),
        nn.Sequential(nn.Conv1d(2, 3, 3), nn.MaxPool1d(2), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4)),
        nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU(), nn.ReLU(), nn.Flatten(), nn.Linear(24, 4)),
    ],
    ids=["first", "after the pool", "twice"],
)
def test_a_relu_that_follows_no_linear_layer(model):
    torch.manual_seed(0)
    case = Case((2, 10), (), book="int8")
    spec = InputSpec(case.shape, 1 / 32, 5)
    (x, y), (unseen, _) = draw(case, 500), draw(case, 1000, seed=1)
    rounded = learn(model, {"*": case.book}, to_float(x, spec), y, 50)
    graph = lower(rounded, to_float(x, spec), spec)
    with torch.no_grad():
        decided = model(to_float(unseen, spec)).argmax(dim=1).numpy()
    assert (evaluate(graph, to_chip(unseen)).winners == decided).mean() >= 0.99


def test_seven_bits_halve_the_input_and_the_activations_that_are_never_negative():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)).eval()
    quantized = Quantizer(model, {"*": "int8"}, ROUND_ONLY).finish()
    x = np.random.default_rng(0).integers(-128, 128, (200, 8)).astype(np.int8)
    spec = InputSpec((8,), 1 / 64, 0)
    graph = lower(quantized, to_float(x, spec), spec, activation_bits=7)
    types = graph.types()
    assert graph.input.dtype is INT8
    assert {types[name].dtype for op in graph.ops for name in op.inputs if name != "input"} == {UINT7, INT32}
    real = types[graph.outputs[0]].scale * evaluate(graph, x).scores
    with torch.no_grad():
        apart = np.abs(real - quantized.model(to_float(x, spec)).numpy())
    assert apart.max() < 0.1
    fine = lower(quantized, to_float(x, spec), spec)
    assert {types.dtype for types in fine.types().values()} == {INT8, UINT8, INT32}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_reads_calibration_in_its_own(dtype):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.Linear(8, 3)), torch.randint(-128, 128, (200, 6)) / 64
    rounded = Quantizer(model.to(dtype), {"*": "int8"}, ROUND_ONLY).finish()
    graph = lower(rounded, x, InputSpec((6,), 1 / 64, 0))
    with torch.no_grad():
        truth = model(x.to(dtype)).argmax(dim=1).numpy()
    assert (evaluate(graph, (x * 64).numpy().astype(np.int8)).winners == truth).mean() > 0.95


def test_weights_that_changed_after_the_rounding_are_refused():
    rounded = Quantizer(nn.Sequential(nn.Linear(4, 3)), {"*": "bipolar"}, ROUND_ONLY).finish()
    with torch.no_grad():
        rounded.model[0].weight *= 0.9
    with pytest.raises(DeployError, match=r"0\.weight has changed since it was rounded"):
        lower(rounded, torch.ones(4, 4), InputSpec((4,), 1.0, 0))
