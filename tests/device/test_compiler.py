import pytest

from bitq.core.errors import DeployError, ToolError
from bitq.device import compiler, deployment, image
from bitq.device.config import TargetConfig
from bitq.device.host import HostModel

from .toys import CONSTANT, Mlp, one_function, write_project

GCC = TargetConfig(compiler="gcc")


def link(folder, target, where):
    where.mkdir(exist_ok=True)
    return image.link(deployment.read(folder), target, where)


@pytest.fixture
def toy(tmp_path):
    return Mlp().write(tmp_path / "toy")


def test_a_missing_compiler_is_named(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="arm-none-eabi-gcc is not installed"):
        link(toy, GCC, tmp_path / "out")
    with pytest.raises(ToolError, match="'icc' is not installed"):
        HostModel(toy, compiler="icc")


VERSION = 'if [ "$1" = --version ]; then echo "arm-none-eabi-gcc 12.2.1"; exit 0; fi\n'


def test_a_failing_compiler_is_quoted(toy, tmp_path, fake_tool):
    fake_tool("arm-none-eabi-gcc", VERSION + 'echo "internal compiler error" >&2; exit 4')
    with pytest.raises(ToolError, match=r"(?s)12\.2\.1.*code 4.*internal compiler error"):
        link(toy, GCC, tmp_path / "out")


def test_a_hanging_compiler_is_stopped(toy, tmp_path, fake_tool, monkeypatch):
    monkeypatch.setattr(compiler, "COMPILE_TIMEOUT_S", 0.3)
    fake_tool("arm-none-eabi-gcc", VERSION + "sleep 60")
    with pytest.raises(ToolError, match="did not end within"):
        link(toy, GCC, tmp_path / "out")


def test_a_compiler_without_output_or_with_garbage_is_refused(toy, tmp_path, fake_tool):
    fake_tool("arm-none-eabi-gcc", VERSION + "exit 0")
    with pytest.raises(ToolError, match=r"wrote no firmware\.elf"):
        link(toy, GCC, tmp_path / "out")
    fake_tool("arm-none-eabi-gcc", VERSION + "echo garbage > firmware.elf; echo garbage > empty.elf")
    with pytest.raises(ToolError, match="no valid firmware"):
        link(toy, GCC, tmp_path / "out")


def test_a_compiler_that_prints_no_version_is_refused(toy, tmp_path, fake_tool):
    fake_tool("arm-none-eabi-gcc", "echo hello")
    with pytest.raises(ToolError, match="no version"):
        link(toy, GCC, tmp_path / "out")


@pytest.mark.parametrize(
    ("body", "warning"),
    [
        ("    (void)input;\n    scores[0] = 1 << 2;\n    int unused;\n    return 0;", "unused"),
        ("    scores[0] = 0;\n    uint8_t narrow = (uint8_t)1 + input[0];\n    return narrow;", "conversion"),
        ("    scores[0] = 0;\n    int32_t buffer[input[0] + 200];\n    buffer[0] = 1;\n    return buffer[0];", "vla"),
    ],
)
@pytest.mark.parametrize("on_host", [True, False])
def test_warnings_are_errors(tmp_path, body, warning, on_host):
    folder = write_project(tmp_path / "toy", one_function(body))
    with pytest.raises(ToolError, match=f"(?i){warning}"):
        HostModel(folder) if on_host else link(folder, TargetConfig(), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "body", "helper"),
    [
        ("cortex_m0plus", "    scores[0] = input[0] / input[1];", "__aeabi_idiv"),
        (
            "cortex_m0plus",
            "    volatile int64_t x = input[0];\n    scores[0] = (int32_t)((x * x) >> 20);",
            "__aeabi_lmul",
        ),
        ("rv32ec", "    scores[0] = input[0] * input[1];", "__mulsi3"),
        ("rv32imc", "    volatile int64_t x = input[0];\n    scores[0] = (int32_t)(x / input[1]);", "__divdi3"),
        ("cortex_m4", "    volatile float x = (float)input[0];\n    scores[0] = (int32_t)(x * x);", "__aeabi_f"),
    ],
)
def test_a_runtime_helper_is_refused_by_name(tmp_path, name, body, helper):
    folder = write_project(tmp_path / "toy", one_function(body + "\n    return 0;"))
    with pytest.raises(DeployError, match=helper):
        link(folder, TargetConfig(name=name), tmp_path / "out")


@pytest.mark.parametrize("optimize", ["size", "balanced", "speed"])
def test_loops_do_not_become_library_calls(tmp_path, optimize):
    before = "static int32_t a[400];\nstatic int32_t b[400];"
    body = (
        "    for (int32_t i = 0; i < 400; ++i) {\n        a[i] = 0;\n    }\n    a[input[0] & 63] = 1;\n"
        "    for (int32_t i = 0; i < 400; ++i) {\n        b[i] = a[i];\n    }\n    scores[0] = b[input[1] & 63];\n"
        "    return 0;"
    )
    folder = write_project(tmp_path / "toy", one_function(body, before=before))
    assert link(folder, TargetConfig(optimize=optimize), tmp_path / "out").static_ram_bytes == 3200


def test_the_cache_falls_back_when_the_home_cannot_be_written(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    folder = compiler._cache_dir()
    assert folder.is_dir()
    assert tmp_path not in folder.parents


def test_same_sources_same_image(tmp_path):
    folder = write_project(tmp_path / "toy", one_function(CONSTANT))
    first = link(folder, TargetConfig(), tmp_path / "one")
    second = link(folder, TargetConfig(), tmp_path / "two")
    assert first.elf.loaded == second.elf.loaded
