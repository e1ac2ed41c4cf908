import numpy as np
import pytest

from bitq.device.cycles import CHIPS, TIMINGS, estimate
from bitq.device.isa import Instruction

from .test_emulator import run
from .toys import write_project

pytestmark = pytest.mark.usefixtures("unicorn")

# 40 rounds of a loop with a load and a store, in a leaf that is written in assembly.
_LOOP = (
    '__asm__(".syntax unified\\n.thumb\\n.section .text.toy_run\\n.globl toy_run\\n.type toy_run, %function\\n'
    ".thumb_func\\ntoy_run:\\n push {r4, lr}\\n movs r2, #40\\n"
    "1: ldr r3, [r1]\\n str r3, [r1]\\n muls r3, r2, r3\\n subs r2, #1\\n bne 1b\\n"
    ' pop {r4, pc}\\n.size toy_run, .-toy_run");'
)


# M0: push 3, movs 1, a round 2 + 2 + 1 + 1 + 3 (1 where it ends), pop 6. M0+: a taken branch 2, pop 5.
# M4: the store behind the load 1, a taken branch 1 + 2, push 3, pop 3 + 2.
@pytest.mark.parametrize(
    ("name", "cycles"),
    [
        ("cortex_m0", 3 + 1 + 40 * 9 - 2 + 6),
        ("cortex_m0plus", 3 + 1 + 40 * 8 - 1 + 5),
        ("cortex_m4", 3 + 1 + 40 * 8 - 2 + 5),
    ],
)
def test_cycles_are_those_of_the_manual(name, cycles, tmp_path):
    folder = write_project(tmp_path / "toy", {"model.c": f"typedef int nothing;\n{_LOOP}\n"}, scores=1)
    ran = run(tmp_path, folder, np.zeros((3, 12), np.int8), name)
    assert ran.cycles == cycles


def test_nothing_is_said_of_a_core_without_a_table(tmp_path):
    folder = write_project(tmp_path / "toy", {"model.c": f"typedef int nothing;\n{_LOOP}\n"}, scores=1)
    assert run(tmp_path, folder, np.zeros((3, 12), np.int8), "cortex_m33").cycles is None


@pytest.mark.parametrize(
    ("core", "mnemonic", "operands", "cycles"),
    [
        ("cortex-m0plus", "pop", "{r4, r5, pc}", 5),  # 6 with the refill: 3 + N
        ("cortex-m0plus", "ldm", "r0!, {r1, r2}", 3),
        ("cortex-m0plus", "bl", "#0x100", 2),
        ("cortex-m0plus", "muls", "r0, r1, r0", 1),
        ("cortex-m0plus", "ldrb", "r0, [r1]", 2),
        ("cortex-m3", "mla", "r0, r1, r2, r3", 2),
        ("cortex-m4", "mla", "r0, r1, r2, r3", 1),
        ("cortex-m4", "ldrd", "r0, r1, [r2]", 3),
        ("cortex-m4", "ldrsh.w", "r0, [r2, #8]", 2),
        ("cortex-m4", "stmdb", "sp!, {r4, r5, r6}", 4),
        ("cortex-m4", "usada8", "r0, r1, r2, r3", 1),
        ("rv32imc", "c.lwsp", "ra, 0xc(sp)", 2),
        ("rv32imc", "lbu", "a0, 0(a1)", 2),
        ("rv32imc", "sb", "a0, 0(a1)", 2),
        ("rv32imc", "sub", "a0, a0, a1", 1),
        ("rv32imc", "slli", "a0, a0, 1", 1),
        ("rv32imc", "mul", "a0, a0, a1", 3),
        ("rv32imc", "c.jr", "ra", 0),
    ],
)
def test_instructions_take_what_their_kind_takes(core, mnemonic, operands, cycles):
    assert TIMINGS[core].of(Instruction(0, 2, mnemonic, operands), None) == cycles


def test_energy_has_one_figure():
    chip = CHIPS["cortex-m0plus"]
    assert chip.joules(1_000_000) == pytest.approx(1e6 * 53e-12 * 3)
    assert "about 20 µJ on a CC2340R2 at 3 V" in estimate("cortex-m0plus", 105_117)
    assert "about 0.3 µJ" in estimate("cortex-m0plus", 1_900)
    assert "µJ" not in estimate("cortex-m4", 105_117)
