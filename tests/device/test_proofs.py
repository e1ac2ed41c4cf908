"""What no generated project holds, read from its linked code: libraries, divisions, 64 bits, recursion."""

import re
from graphlib import CycleError

import numpy as np
import pytest

from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.manifest import DeployInfo, input_shape
from bitq.core.processes import find_tool
from bitq.device import deployment, emulator, image, isa
from bitq.device.config import CORES, TargetConfig
from bitq.ir.types import BIPOLAR, ODD2
from pipelines.mcu.networks import NETWORKS, inputs_of
from tests.device import calls

from .toys import INPUTS, one_function, write_project

# Divisions, and products of 64 bits; a program of 32 bits can do neither of them in another way than by a call.
FORBIDDEN = re.compile(r"(?:[us]div|[us]mull|[us]mlal\w*|smlsld\w*|smm|umaal)\w*|(?:div|rem)u?|mulh\w*")
# Start-up, what a compiler without a multiplier calls, and where clang puts instructions that functions share.
OTHERS = re.compile(r"Reset_Handler|bitq_boot|Fault_Handler|main|__mulsi3|OUTLINED_FUNCTION_\d+")


def check(graph, target, tmp_path):
    """Look at the linked code of a network, and hold the stack that its calls can take against the measured one."""
    folder, out = tmp_path / "deploy", tmp_path / "out"
    none = np.zeros((0, graph.input.size), graph.input.dtype.array)
    vectors = vectors_of(graph, none, np.zeros(0, np.int64), at_least=1)
    write_deploy(folder, graph, DeployInfo(), vectors, target.optimize)
    out.mkdir()
    model = deployment.read(folder)
    elf = image.link(model, target, out).elf
    instructions = isa.disassemble(elf)
    own = {symbol.name for symbol in elf.symbols if symbol.is_function and not OTHERS.fullmatch(symbol.name)}
    sources = "\n".join(path.read_text() for path in [*folder.glob("*.c"), *folder.glob("*.h")])
    assert not {name for name in own if not re.search(rf"\b{name.partition('.')[0]}\(", sources)}
    assert not [found for found in instructions if FORBIDDEN.fullmatch(found.mnemonic)]
    bound = calls.deepest(calls.graph(elf, instructions), calls.frames(elf, instructions), model.symbol)
    if emulator.runs(target.core):
        x = inputs_of(graph, 2)[-2:].reshape(-1, *input_shape(graph.input.shape))
        measured = emulator.execute(elf, instructions, target.core, model, x, out).stack_bytes
        assert measured <= bound <= measured + 48


@pytest.mark.parametrize(
    ("name", "core", "optimize"),
    [("N2", "cortex_m4", "speed"), ("N3", "cortex_m0plus", "size"), ("N4", "cortex_m0plus", "speed")],
)
def test_linked_code_is_bare_and_its_stack_is_bounded(name, core, optimize, tmp_path):
    check(NETWORKS[name](BIPOLAR), TargetConfig(name=core, optimize=optimize), tmp_path)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("optimize", ["size", "balanced", "speed"])
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
def test_all_linked_code_is_bare_and_its_stack_is_bounded(core, optimize, compiler, tmp_path):
    target = TargetConfig(name=core, optimize=optimize, compiler=compiler)
    if compiler == "gcc" and find_tool(target.core.gcc_program) is None:
        pytest.skip(f"{target.core.gcc_program} is not installed")
    for name, network in NETWORKS.items():
        for book in (BIPOLAR, ODD2):
            folder = tmp_path / f"{name}{book.name}"
            folder.mkdir()
            check(network(book), target, folder)


def linked(tmp_path, body, before="", target=None):
    folder = write_project(tmp_path / "toy", one_function(body, before=before))
    (tmp_path / "out").mkdir()
    elf = image.link(deployment.read(folder), target or TargetConfig(name="cortex_m4"), tmp_path / "out").elf
    return elf, isa.disassemble(elf)


@pytest.mark.skipif(not emulator.is_installed(), reason="unicorn is not installed: pip install 'bitq[emulator]'")
@pytest.mark.parametrize("words", [100, 300, 5000])
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
@pytest.mark.parametrize("core", ["cortex_m0plus", "cortex_m4", "rv32imc", "rv32ec"])
def test_frames_too_large_for_one_instruction_are_counted(core, compiler, words, tmp_path):
    target = TargetConfig(name=core, compiler=compiler)
    if compiler == "gcc" and find_tool(target.core.gcc_program) is None:
        pytest.skip(f"{target.core.gcc_program} is not installed")
    room = f"    volatile int32_t room[{words}];\n    room[input[0] & 15] = 1;\n"
    elf, instructions = linked(tmp_path, f"{room}    scores[0] = room[3];\n    return 0;", target=target)
    bound = calls.deepest(calls.graph(elf, instructions), calls.frames(elf, instructions), "toy_run")
    model = deployment.read(tmp_path / "toy")
    x = np.zeros((1, INPUTS), np.int8)
    measured = emulator.execute(elf, instructions, target.core, model, x, tmp_path / "out").stack_bytes
    assert 4 * words <= measured == bound


def test_a_function_that_calls_itself_through_another_is_found(tmp_path):
    before = (
        "static __attribute__((noinline)) int32_t odd(int32_t n);\n"
        "static __attribute__((noinline)) int32_t even(int32_t n)\n{\n    return n < 1 ? 1 : odd(n - 1) + 3;\n}\n"
        "static __attribute__((noinline)) int32_t odd(int32_t n)\n{\n    return n < 1 ? 0 : even(n - 2) + 5;\n}\n"
    )
    elf, instructions = linked(tmp_path, "    scores[0] = even(input[0]);\n    return 0;", before)
    with pytest.raises(CycleError, match="even"):
        calls.deepest(calls.graph(elf, instructions), calls.frames(elf, instructions), "toy_run")


@pytest.mark.parametrize("expression", ["input[0] / input[1]", "(int32_t)(((int64_t)input[0] * scores[1]) >> 32)"])
def test_a_division_and_a_product_of_64_bits_are_found(expression, tmp_path):
    _, instructions = linked(tmp_path, f"    scores[0] = {expression};\n    return 0;")
    assert [found for found in instructions if FORBIDDEN.fullmatch(found.mnemonic)]
