"""A recurrent layer in C: what it takes, and which of its forms it has."""

from dataclasses import replace

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from torch import nn

from bitq.codegen.emit import emit
from bitq.device.compiler import STRICT, target_compiler
from bitq.ir.check import check
from bitq.ir.graph import Graph
from bitq.ir.ops import Dense, Recurrent
from bitq.ir.types import BIPOLAR, INT8, INT32, TensorType
from tests.graphs.parts import bias, weights
from tests.graphs.recurrent import narrow, part
from tests.ir.test_stream import Network, lowered
from tests.property.agreement import assert_agreement
from tests.property.builds import GCC, ZIG

NETWORKS = {
    "gru": Network(nn.Conv1d(3, 4, 5, 2), nn.ReLU()),
    "lstm": Network(rnn=nn.LSTM(3, 5, num_layers=2, batch_first=True)),
    "relu": Network(rnn=nn.RNN(3, 5, nonlinearity="relu", batch_first=True)),
}


@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("name", NETWORKS)
def test_parameter_bytes_are_the_compiled_sizes(name, optimize, tmp_path):
    graph = lowered(NETWORKS[name])
    project = emit(graph, optimize)
    for file, text in project.files.items():
        (tmp_path / file).write_text(text)
    flags = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-Os", "-g1", "-c", *STRICT]
    target_compiler("zig").build(flags, [tmp_path / "model.c"], tmp_path / "model.o")
    with (tmp_path / "model.o").open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".symtab").iter_symbols()
        objects = [s for s in symbols if s["st_info"]["type"] == "STT_OBJECT" and not s.name.endswith("_arena")]
        assert sum(s["st_size"] for s in objects) == sum(layer.flash_bytes for layer in project.layers)


def test_only_what_a_cell_needs_is_emitted():
    small, fast = (set(emit(lowered(NETWORKS["gru"]), optimize).files) for optimize in ("size", "speed"))
    assert {"bitq_gru.c", "bitq_recur.c", "bitq_tanh.c", "bitq_matrices.c", "bitq_nibbles.c"} <= small
    assert {"bitq_gru.c", "bitq_recur.c", "bitq_tanh.c"} <= fast
    assert not {"bitq_matrices.c", "bitq_nibbles.c", "bitq_dense.c"} & fast
    assert "bitq_tanh.c" not in emit(lowered(NETWORKS["relu"])).files


def two_grus(units, channels, *, reverse=False, seed=0):
    """Return two layers of one bit; the second reads the steps of the first, and the first those of the caller."""
    rng, source = np.random.default_rng(seed), TensorType((1, 7, channels), INT8, 0.1, 3)
    ops, x = [], source
    for name, pick in (("first", None), ("second", 6)):
        out = TensorType((units,), INT8, 0.5)
        matrices = [
            part(lambda strategy: BIPOLAR, rng, f"{name}.{which}", 3 * units, reads)
            for which, reads in (("input", replace(x, shape=x.shape[2:])), ("state", out))
        ]
        given = {"input": matrices[0], "state": matrices[1], "fraction": 24, "reverse": reverse and pick is None}
        given["narrow"] = narrow(matrices[1], out)
        op = Recurrent(name=name, inputs=(ops[-1].name if ops else "input",), out=out, cell="gru", pick=pick, **given)
        ops.append(replace(op, out=replace(out, shape=op.infer_shape(x))))
        x = ops[-1].out
    head = Dense(
        name="head",
        inputs=("second",),
        out=TensorType((2,), INT32, 1.0),
        weights=weights(rng, (2, units), BIPOLAR),
        bias=bias(rng, 2),
    )
    return check(Graph("net", source, (*ops, head), ("head",)))


@pytest.mark.parametrize(("units", "channels"), [(8, 4), (9, 3), (14, 7), (11, 1)])
def test_a_gru_of_one_bit_sums_both_matrices_up_in_one_go(units, channels):
    graph = two_grus(units, channels, reverse=units > 9, seed=units)
    project = emit(graph, "speed")
    assert project.files["model.c"].count("_cell(const bitq_recurrent *layer") == 2
    assert "bitq_gru.c" not in project.files
    assert_agreement(graph, GCC or ZIG[1:])
