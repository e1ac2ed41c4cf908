"""Every target: firmware of every family of networks links, runs and is exact, and nothing foreign is in it."""

import re

import pytest

from bitq.core.processes import find_tool
from bitq.device import deployment, image, isa, qemu
from bitq.device.config import CORES, TargetConfig
from bitq.device.emulator import is_installed
from bitq.device.verify import verify
from tests.delivered import FAMILIES, deliver

HARNESS = {"Reset_Handler", "Fault_Handler", "main", "bitq_boot"}
FOREIGN = re.compile(r"(?:[su]div|divu?|remu?|[su]m(?:ull|lal)|mulh(?:su|u)?)(?:\.w)?")
"""Divisions and products of 64 bits."""

PACKAGES = {"arm-none-eabi-gcc": "gcc-arm-none-eabi", "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf"}

SHORT = [
    ("dense", "rv32ec", "bipolar", "size"),
    ("conv", "rv32ec", "int8", "speed"),
    ("gru", "rv32ec", "bipolar", "speed"),
    ("residual", "rv32imc", "bipolar", "size"),
    ("conv", "cortex_m33_dsp", "bipolar", "speed"),
    ("gru", "cortex_m33", "int8", "size"),
    ("forest", "cortex_m3", "bipolar", "speed"),
    ("residual", "cortex_m4", "bipolar", "speed"),
    ("dense", "cortex_m55", "int8", "speed"),
]
"""A cross-section of family, target, codebook and what decides; every family and every newer target once."""


def check(folder, family, name, book, optimize, compiler):
    target = TargetConfig(name=name, optimize=optimize, compiler=compiler)
    vectors = deployment.read(deliver(folder / "deploy", family, book, optimize)).vectors()
    measured = verify(folder / "deploy", target, vectors.input, vectors.scores, vectors.winner)
    if CORES[name].emulated_cpu or qemu.runs(CORES[name]):
        assert measured.passed, measured.verdict
    else:
        assert measured.verdict.startswith("NOT EXECUTED")
        assert measured.flash_bytes > 0
    built = image.link(deployment.read(folder / "deploy"), target, folder)
    functions = {symbol.name for symbol in built.elf.symbols if symbol.is_function} - HARNESS
    own = ("bitq_", "net_", "OUTLINED_FUNCTION_")  # the last: what the compiler found twice in ours
    assert {f for f in functions if not f.startswith(own)} <= ({"__mulsi3"} if name == "rv32ec" else set())
    assert not [i for i in isa.disassemble(built.elf) if FOREIGN.fullmatch(i.mnemonic)]


@pytest.mark.skipif(not is_installed(), reason="unicorn is not installed: pip install 'bitq[emulator]'")
@pytest.mark.parametrize(("family", "name", "book", "optimize"), SHORT)
def test_firmware_is_exact_and_only_ours(tmp_path, family, name, book, optimize):
    check(tmp_path, family, name, book, optimize, "zig")


def test_the_short_form_meets_every_family():
    assert {family for family, *_ in SHORT} == set(FAMILIES)


@pytest.mark.long
@pytest.mark.parametrize("compiler", ["zig", "gcc"])
@pytest.mark.parametrize("optimize", ["size", "speed"])
@pytest.mark.parametrize("book", ["bipolar", "int8"])
@pytest.mark.parametrize("family", list(FAMILIES))
@pytest.mark.parametrize("name", list(CORES))
def test_every_target_with_every_family(tmp_path, family, name, book, optimize, compiler):
    program = CORES[name].gcc_program
    if compiler == "gcc" and find_tool(program) is None:
        pytest.skip(f"{program} is not installed: apt-get install {PACKAGES[program]}")
    check(tmp_path, family, name, book, optimize, compiler)
