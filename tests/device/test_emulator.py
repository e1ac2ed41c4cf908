import dataclasses

import numpy as np
import pytest

from bitq.core.errors import DeployError, ToolError
from bitq.device import deployment, emulator, image, isa
from bitq.device.config import CORES, TargetConfig

from .toys import CONSTANT, Mlp, one_function, write_project

pytestmark = pytest.mark.usefixtures("unicorn")


def run(tmp_path, folder, x, name="cortex_m0plus", **options):
    model = deployment.read(folder)
    where = tmp_path / "out"
    where.mkdir(exist_ok=True)
    built = image.link(model, TargetConfig(name=name), where)
    return emulator.execute(built.elf, isa.disassemble(built.elf), CORES[name], model, x, where, **options)


def run_body(tmp_path, body, count=1, before="", **options):
    folder = write_project(tmp_path / "toy", one_function(body, before=before))
    return run(tmp_path, folder, np.arange(count * 12, dtype=np.int8).reshape(count, 12), **options)


# The toy multiplies, for which rv32ec needs a function that it does not have.
@pytest.mark.parametrize("name", [name for name, core in CORES.items() if core.emulated_cpu and name != "rv32ec"])
def test_equals_numpy_on_every_sample(tmp_path, name):
    net = Mlp(seed=5)
    x = net.inputs(400)
    ran = run(tmp_path, net.write(tmp_path / "toy"), x, name)
    scores, winners = net.evaluate(x)
    assert np.array_equal(ran.scores, scores)
    assert np.array_equal(ran.winners, winners)
    assert ran.counted == 400


def test_instructions_and_stack_are_exact(tmp_path):
    # A leaf written in assembly: 2 to push and pop, 3 * 40 + 1 in the loop, 5 around it, 24 bytes of stack.
    before = (
        '__asm__(".syntax unified\\n.thumb\\n.section .text.toy_run\\n.globl toy_run\\n.type toy_run, %function\\n'
        ".thumb_func\\ntoy_run:\\n push {r4, lr}\\n sub sp, #16\\n movs r2, #40\\n"
        "1: adds r3, r2, #1\\n subs r2, #1\\n bne 1b\\n str r2, [r1]\\n add sp, #16\\n movs r0, #7\\n"
        ' pop {r4, pc}\\n.size toy_run, .-toy_run");'
    )
    sources = {"model.c": f"typedef int nothing;\n{before}\n"}
    x = np.zeros((20, 12), np.int8)
    ran = run(tmp_path, write_project(tmp_path / "toy", sources, scores=1), x)
    assert ran.instructions == ran.most_instructions == 3 + 3 * 40 + 4
    assert ran.stack_bytes == 24
    assert (ran.winners == 7).all()


@pytest.mark.parametrize("name", ["cortex_m0plus", "rv32imc"])
def test_the_stack_of_the_start_up_is_not_the_models(tmp_path, name):
    folder = write_project(tmp_path / "toy", one_function(CONSTANT))
    assert run(tmp_path, folder, np.zeros((3, 12), np.int8), name).stack_bytes == 0


@pytest.mark.parametrize("name", ["cortex_m0plus", "cortex_m4", "rv32imc"])
def test_native_and_python_counters_agree(tmp_path, monkeypatch, name):
    net = Mlp(seed=6)
    x = np.repeat(net.inputs(1), 20, axis=0)
    folder = net.write(tmp_path / "toy")
    native = run(tmp_path, folder, x, name)
    monkeypatch.setattr(emulator, "_build_counter", lambda _: "")
    slow = run(tmp_path, folder, x, name)
    assert slow.counted < native.counted == 20
    assert np.array_equal(slow.scores, native.scores)
    assert dataclasses.replace(slow, counted=20, scores=0, winners=0) == dataclasses.replace(
        native, scores=0, winners=0
    )


def test_progress_grows_to_the_total(tmp_path):
    net = Mlp()
    seen = []
    run(tmp_path, net.write(tmp_path / "toy"), net.inputs(300), on_progress=lambda *at: seen.append(at))
    assert seen[-1] == (300, 300)
    assert seen == sorted(seen)


def test_a_hanging_program_is_stopped(tmp_path):
    body = "    volatile int32_t *p = scores;\n    while (input[0] == 12) {\n        *p = 1;\n    }\n    return *p;"
    with pytest.raises(DeployError, match=r"sample 1: did not return within 1,000,000 instructions, in toy_run"):
        run_body(tmp_path, body, count=2, limit=1_000_000)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("    scores[0] = *(volatile const int32_t *)0x40000000u;\n    return input[0];", "4 bytes at 0x40000000"),
        ("    (void)input;\n    *(volatile int32_t *)0x08000000u = scores[0];\n    return 0;", "write"),
        ('    __asm__ volatile("udf #1");\n    scores[0] = input[0];\n    return 0;', "in toy_run"),
        ("    scores[0] = *(volatile const int16_t *)((uintptr_t)input + 1u);\n    return 0;", "in toy_run"),
    ],
)
def test_a_fault_names_what_and_where(tmp_path, body, text):
    with pytest.raises(DeployError, match=f"(?i)cortex-m0plus, sample 0: .*{text}"):
        run_body(tmp_path, body)


def test_endless_recursion_is_a_fault(tmp_path):
    before = (
        "int32_t deep(volatile int32_t *p);\n"
        "int32_t deep(volatile int32_t *p)\n{\n    volatile int32_t local[64];\n    local[0] = *p;\n"
        "    return *p == 77 ? 0 : deep(local) + local[0];\n}"
    )
    with pytest.raises(DeployError, match="in deep"):
        run_body(tmp_path, "    scores[0] = input[0];\n    return deep(scores);", before=before)


def test_static_state_survives_between_samples(tmp_path):
    body = "    (void)input;\n    scores[0] = ++calls;\n    return 0;"
    ran = run_body(tmp_path, body, count=5, before="static int32_t calls = 10;")
    assert ran.scores[:, 0].tolist() == [11, 12, 13, 14, 15]


def test_a_silent_worker_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(emulator, "STALL_S", 0.2)
    body = "    volatile int32_t *p = scores;\n    while (input[0] == 0) {\n        *p = 1;\n    }\n    return *p;"
    with pytest.raises(ToolError, match=r"did not end|finished no sample"):
        run_body(tmp_path, body, limit=10**12)


def test_a_worker_that_dies_is_an_error(tmp_path, monkeypatch):
    broken = dataclasses.replace(CORES["cortex_m0"], emulated_cpu="NO_SUCH_CPU")
    monkeypatch.setitem(CORES, "cortex_m0", broken)
    with pytest.raises(ToolError, match="NO_SUCH_CPU"):
        run_body(tmp_path, CONSTANT, name="cortex_m0")
