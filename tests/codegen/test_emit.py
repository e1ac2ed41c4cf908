import re
from dataclasses import replace

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitq.codegen.emit import emit, parameter_bytes
from bitq.codegen.ops.linear import shortest_bias
from bitq.core.errors import DeployError
from bitq.device.compiler import STRICT, target_compiler
from bitq.ir.ops import Dense
from bitq.ir.types import INT8, INT32, WEIGHT_DTYPES, Rescale, TensorType
from tests.codegen.nets import sequence_net
from tests.graphs import graphs


def test_equal_graphs_give_equal_bytes():
    assert emit(sequence_net()).files == emit(sequence_net()).files


def test_only_needed_runtime_files_are_emitted():
    files = set(emit(sequence_net()).files)
    expected = {"bitq_bits.c", "bitq_conv.c", "bitq_dense.c", "bitq_max_inside.c"}
    called = {"bitq_finish.c", "bitq_mulsi3.c", "bitq_put.c"}
    assert files == expected | called | {"bitq.h", "model.c", "model.h"}


def test_speed_makes_code_of_small_convolutions():
    files = set(emit(sequence_net(), "speed").files)
    assert files == {
        "bitq.h",
        "bitq_bits.c",
        "bitq_conv_row.c",
        "bitq_dense.c",
        "bitq_finish.c",
        "bitq_mulsi3.c",
        "bitq_pack_pairs.c",
        "bitq_put.c",
        "bitq_sums.c",
        "model.c",
        "model.h",
    }


@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("dtype", WEIGHT_DTYPES.values(), ids=WEIGHT_DTYPES)
def test_parameter_bytes_are_the_compiled_sizes(dtype, optimize, tmp_path):
    assert_parameter_bytes(sequence_net(dtype), optimize, tmp_path)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs(), st.sampled_from(["size", "speed"]))
def test_parameter_bytes_are_the_compiled_sizes_of_every_structure(tmp_path_factory, graph, optimize):
    assert_parameter_bytes(graph, optimize, tmp_path_factory.mktemp("sizes"))


def assert_parameter_bytes(graph, optimize, tmp_path):
    project = emit(graph, optimize)
    for name, text in project.files.items():
        (tmp_path / name).write_text(text)
    # Without optimization: a compiler would keep the only threshold of a small forest in its code.
    flags = ["-target", "thumb-freestanding-eabi", "-mcpu=cortex_m0plus", "-O0", "-g1", "-c", *STRICT]
    target_compiler("zig").build(flags, [tmp_path / "model.c"], tmp_path / "model.o")
    with (tmp_path / "model.o").open("rb") as stream:
        symbols = ELFFile(stream).get_section_by_name(".symtab").iter_symbols()
        objects = [s for s in symbols if s["st_info"]["type"] == "STT_OBJECT" and not s.name.endswith("_arena")]
        assert sum(s["st_size"] for s in objects) == sum(layer.flash_bytes for layer in project.layers)


def test_parameter_bytes_are_the_same_where_weights_become_instructions():
    graph = sequence_net()
    projects = {optimize: emit(graph, optimize) for optimize in ("size", "balanced", "speed")}
    held = {optimize: sum(layer.flash_bytes for layer in project.layers) for optimize, project in projects.items()}
    assert held["speed"] < held["size"] == parameter_bytes(graph)
    assert {project.parameter_bytes for project in projects.values()} == {parameter_bytes(graph)}


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_every_symbol_is_defined_once_and_carries_the_models_name(graph):
    text = emit(graph).files["model.c"]
    defined = re.findall(r"^(?:static )?(?:const )?\w+_t (\w+)|^static const bitq_\w+ (\w+)", text, re.MULTILINE)
    names = [first or second for first, second in defined]
    assert names
    assert len(set(names)) == len(names)
    assert all(name.startswith(f"{graph.name}_") for name in names)


def test_hostile_names_stay_out_of_the_c():
    graph = sequence_net()
    conv = replace(graph.ops[0], name='*/ #error "', layer="*/ boom")
    pool = replace(graph.ops[1], inputs=(conv.name,))
    text = emit(replace(graph, ops=(conv, pool, *graph.ops[2:]))).files["model.c"]
    assert "boom" not in text
    assert '#error "' not in text


def test_a_value_cannot_be_two_outputs():
    graph = sequence_net()
    with pytest.raises(DeployError, match="twice"):
        emit(replace(graph, outputs=("fc", "fc")))


def test_what_16_bits_cannot_hold_is_refused_by_name():
    graph = sequence_net()
    x = TensorType((70_000,), INT8, 1.0)
    weights = replace(graph.ops[2].weights, codes=np.ones((2, 70_000), np.int8))
    dense = Dense(
        name="fc", layer="head.fc", inputs=("input",), out=TensorType((2,), INT32, 1.0),
        weights=weights, bias=np.zeros(2, np.int32),
    )  # fmt: skip
    with pytest.raises(DeployError, match=r"head\.fc.*70000"):
        emit(replace(graph, input=x, ops=(dense,), winner=None))


@pytest.mark.parametrize(
    ("bias", "dtype", "shift"),
    [
        ([0], np.int16, 0),
        ([32767, -32768], np.int16, 0),
        ([32768, -32768], np.int16, 1),
        ([32769, 0], np.int32, 255),
        ([-(2**31)], np.int16, 16),
        ([2**31 - 1], np.int32, 255),
    ],
)
def test_biases_are_stored_as_short_as_is_exact(bias, dtype, shift):
    stored, by = shortest_bias(np.array(bias, np.int64))
    assert (stored.dtype, by) == (dtype, shift)
    np.testing.assert_array_equal(stored.astype(np.int64) << (0 if by == 255 else by), bias)


def test_a_clamp_beyond_int32_is_refused():
    graph = sequence_net()
    out = TensorType((2,), INT32, 1.0, INT32.low)
    rescale = Rescale(np.ones(1, np.int16), 0, 0, INT32.low, 5, INT32.high)
    with pytest.raises(DeployError, match="zero point"):
        emit(replace(graph, ops=(*graph.ops[:2], replace(graph.ops[2], out=out, rescale=rescale)), winner=None))


def test_what_may_decide_is_named():
    with pytest.raises(DeployError, match="size, balanced, speed"):
        emit(sequence_net(), "fast")
