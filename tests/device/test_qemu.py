import numpy as np
import pytest

from bitq.core.errors import ToolError
from bitq.device import deployment, emulator, image, isa, qemu
from bitq.device.config import CORES, TargetConfig
from bitq.device.verify import verify

from .toys import Mlp, one_function, write_project

BOARDS = [name for name, core in CORES.items() if not core.is_risc_v]


@pytest.fixture(autouse=True)
def _installed():
    if not qemu.runs(CORES["cortex_m4"]):
        pytest.skip("qemu-system-arm is not installed")


@pytest.mark.parametrize("name", BOARDS)
def test_qemu_computes_and_counts_as_unicorn_does(tmp_path, name):
    net = Mlp(seed=7)
    x = net.inputs(30)
    model, target = deployment.read(net.write(tmp_path / "toy")), TargetConfig(name=name)
    ran = qemu.execute(model, target, x, tmp_path)
    scores, winners = net.evaluate(x)
    np.testing.assert_array_equal(ran.scores, scores)
    np.testing.assert_array_equal(ran.winners, winners)
    if emulator.runs(target.core):
        elf = image.link(model, target, tmp_path).elf
        other = emulator.execute(elf, isa.disassemble(elf), target.core, model, x[:1], tmp_path)
        assert ran.instructions == other.instructions


def test_a_core_that_unicorn_lacks_is_verified_in_qemu(tmp_path):
    net = Mlp(seed=8)
    x = net.inputs(20)
    scores, winners = net.evaluate(x)
    folder, target = net.write(tmp_path / "toy"), TargetConfig(name="cortex_m55", instructions=10**6)
    measured = verify(folder, target, x, scores, winners)
    assert measured.passed, measured.verdict
    assert measured.executed == "qemu"
    assert measured.stack_bytes is None
    scores[3] += 1
    assert verify(folder, target, x, scores, winners).mismatches == 1
    limited = TargetConfig(name="cortex_m55", stack_bytes=10**6)
    assert "stack_bytes not measured" in verify(folder, limited, x, *net.evaluate(x)).verdict


def test_a_model_that_does_not_come_back_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(qemu, "_TIMEOUT_S", 1.0)
    body = "    volatile int32_t *p = scores;\n    while (input[0] == 0) {\n        *p = 1;\n    }\n    return *p;"
    model = deployment.read(write_project(tmp_path / "toy", one_function(body)))
    with pytest.raises(ToolError, match="qemu-system-arm"):
        qemu.execute(model, TargetConfig(name="cortex_m4"), np.zeros((1, 12), np.int8), tmp_path)
