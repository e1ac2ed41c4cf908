import dataclasses
import importlib.util

import numpy as np
import pytest

from bitq import deploy
from bitq.core.errors import DeployError
from bitq.device import qemu
from bitq.device.config import TargetConfig
from bitq.device.verify import NOT_EXECUTED, verify

from .toys import CONSTANT, Mlp, one_function, write_project


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """A network, its folder, 300 inputs and what numpy says about them."""
    mlp = Mlp(seed=9)
    folder = mlp.write(tmp_path_factory.mktemp("toy"))
    x = mlp.inputs(300)
    scores, winners = mlp.evaluate(x)
    np.savez(folder / "vectors.npz", input=x, scores=scores, winner=winners, label=winners)
    return folder, x, scores, winners


@pytest.mark.usefixtures("unicorn")
def test_exact_and_the_same_twice(net):
    first, second = (verify(net[0], TargetConfig(), *net[1:]) for _ in range(2))
    assert first == second
    assert first.passed
    assert (first.samples_checked, first.mismatches, first.executed) == (300, 0, "unicorn")
    assert first.verdict == "exact on 300 samples"


@pytest.mark.usefixtures("unicorn")
def test_planted_mismatches_are_counted_one_per_sample(net):
    folder, x, scores, winners = net
    scores, winners = scores.copy(), winners.copy()
    scores[7] += 1
    winners[7] += 1
    scores[100, 2] -= 1
    winners[299] += 1
    measured = verify(folder, TargetConfig(), x, scores, winners)
    assert measured.mismatches == 3
    assert not measured.passed
    assert "3 of 300" in measured.verdict


@pytest.mark.usefixtures("unicorn")
def test_samples_limits_what_is_executed(net):
    assert verify(net[0], TargetConfig(samples=10), *net[1:]).samples_checked == 10
    assert verify(net[0], TargetConfig(samples=10_000), *net[1:]).samples_checked == 300


@pytest.mark.usefixtures("unicorn")
def test_budgets(net):
    fits = verify(net[0], TargetConfig(), *net[1:])
    names = ("flash_bytes", "ram_bytes", "stack_bytes", "instructions")
    exact = {name: getattr(fits, name) for name in names}
    assert verify(net[0], TargetConfig(**exact), *net[1:]).passed
    tight = verify(net[0], TargetConfig(**{name: value - 1 for name, value in exact.items()}), *net[1:])
    assert not tight.passed
    assert [line.split()[0] for line in tight.over_budget] == list(names)
    assert f"flash_bytes {fits.flash_bytes:,}, allowed {fits.flash_bytes - 1:,}" in tight.over_budget


@pytest.mark.usefixtures("unicorn")
def test_sizes_count_the_model_and_nothing_else(tmp_path):
    def measure(name, body, before="", shape=(12,)):
        folder = write_project(tmp_path / name, one_function(body, before=before), shape=shape)
        x = np.zeros((1, *shape), np.int8)
        return verify(folder, TargetConfig(), x, np.zeros((1, 3), np.int32), np.zeros(1, np.int32))

    nothing = measure("nothing", "    (void)input;\n    (void)scores;\n    return 0;")
    assert (nothing.flash_bytes, nothing.ram_bytes, nothing.stack_bytes, nothing.instructions) == (0, 0, 0, 2)
    assert 100 < nothing.flash_image_bytes < 300

    # The caller's input belongs to the caller: 4,000 bytes more of it change nothing.
    large = measure("large", "    (void)input;\n    (void)scores;\n    return 0;", shape=(4012,))
    assert (large.flash_bytes, large.ram_bytes) == (0, 0)

    table = "static const int8_t table[1000] = {" + ", ".join(str(i % 100) for i in range(1000)) + "};"
    const = measure("const", "    scores[0] = table[input[0]];\n    return 0;", table)
    assert 1000 < const.flash_bytes < 1040
    assert const.ram_bytes == const.stack_bytes

    # Initialized data is stored in flash and lives in RAM.
    data = measure("data", "    scores[0] = ++table[input[0]];\n    return 0;", table.replace("const ", ""))
    assert 1000 < data.flash_bytes < 1060
    assert data.ram_bytes == 1000 + data.stack_bytes

    zeros = measure("zeros", "    scores[0] = ++arena[input[0]];\n    return 0;", "static int32_t arena[500];")
    assert zeros.flash_bytes < 60
    assert zeros.ram_bytes == 2000 + zeros.stack_bytes

    local = "    volatile int8_t copy[256];\n    copy[input[0]] = 1;\n    scores[0] = copy[0];\n    return 0;"
    assert 256 <= measure("local", local).stack_bytes <= 280


def test_without_the_emulator_it_is_not_executed_and_not_passed(net, monkeypatch, capsys):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "unicorn" else real(name))
    monkeypatch.setattr(qemu, "find_tool", lambda _: None)
    measured = verify(net[0], TargetConfig(flash_bytes=1), *net[1:])
    assert (measured.executed, measured.samples_checked, measured.passed) == ("", 0, False)
    assert (measured.ram_bytes, measured.stack_bytes, measured.instructions) == (None, None, None)
    assert measured.flash_bytes > 0
    assert measured.over_budget
    assert measured.verdict == NOT_EXECUTED
    assert deploy.main(["verify", str(net[0])]) == 5
    assert "NOT EXECUTED" in capsys.readouterr().out


def test_wrong_shapes_are_refused(net):
    folder, x, scores, winners = net
    for arguments in [(x[:0], scores[:0], winners[:0]), (x, scores[:-1], winners), (x[:, :5], scores, winners)]:
        with pytest.raises(DeployError, match="expected"):
            verify(folder, TargetConfig(), *arguments)


@pytest.mark.usefixtures("unicorn")
def test_command_line(net, tmp_path, capsys):
    assert deploy.main(["verify", str(net[0]), "--target", "cortex_m4", "--target", "cortex_m0"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("exact on 300 samples") == 3
    assert "cortex-m4" in shown
    assert deploy.main(["size", str(net[0])]) == 0
    assert "toy_run" in capsys.readouterr().out

    with np.load(net[0] / "vectors.npz") as vectors:
        wrong = dict(vectors)
    wrong["scores"][3] += 1
    folder = Mlp(seed=9).write(tmp_path / "wrong")
    np.savez(folder / "vectors.npz", **wrong)
    assert deploy.main(["verify", str(folder)]) == 5
    assert capsys.readouterr().out.count("NOT EXACT: 1 of 300") == 2
    assert deploy.main(["verify", str(tmp_path / "nowhere")]) == 5
    assert "deploy folder" in capsys.readouterr().err


def test_the_measurement_carries_what_a_result_needs():
    from bitq.device.verify import Measurement
    from bitq.track.result import TargetResult

    needed = {field.name for field in dataclasses.fields(TargetResult)}
    assert needed <= {field.name for field in dataclasses.fields(Measurement)}


@pytest.mark.usefixtures("unicorn")
def test_nothing_is_written_into_the_folder(tmp_path):
    folder = write_project(tmp_path, one_function(CONSTANT))
    before = sorted(path.name for path in folder.rglob("*"))
    verify(
        folder,
        TargetConfig(),
        np.zeros((2, 12), np.int8),
        np.array([[1, 2, 3]] * 2, np.int32),
        np.full(2, 2, np.int32),
    )
    assert sorted(path.name for path in folder.rglob("*")) == before
