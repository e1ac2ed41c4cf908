"""A recurrent layer in C: what it takes, and which of its forms it has."""

import pytest
from elftools.elf.elffile import ELFFile
from torch import nn

from bitq.codegen.emit import emit
from bitq.device.compiler import STRICT, target_compiler
from tests.ir.test_stream import Network, lowered

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


def test_parts_that_cannot_leave_their_limits_are_not_clamped():
    text = emit(lowered(NETWORKS["gru"])).files["model.c"]
    assert ".low = INT32_MIN" in text
