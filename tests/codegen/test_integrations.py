import re
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from bitq.codegen.integrations import integrations
from bitq.core.errors import ToolError
from bitq.core.processes import find_tool, run_tool
from bitq.device.compiler import STRICT, host_compiler
from tests.delivered import deliver

BESIDE = Path(sys.executable).parent
CMAKE = find_tool(str(BESIDE / "cmake"), "cmake")
needs_cmake = pytest.mark.skipif(CMAKE is None, reason="cmake is not installed: pip install cmake")
ZIG = [sys.executable, "-m", "ziglang"]

ARDUINO_H = """#pragma once
#include <stdint.h>
struct Port { void begin(long); void println(const char *); };
extern Port Serial;
void setup();
void loop();
"""
ARDUINO_MAIN = """#include <Arduino.h>
extern "C" int puts(const char *);
Port Serial;
void Port::begin(long) {}
void Port::println(const char *text) { puts(text); }
int main() { setup(); return 0; }
"""
ZEPHYR_MODULE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "build"],
    "properties": {
        "name": {"type": "string", "pattern": "^[A-Za-z0-9_.-]+$"},
        "build": {
            "type": "object",
            "additionalProperties": False,
            "properties": {name: {"type": "string"} for name in ("cmake", "kconfig", "cmake-ext", "kconfig-ext")},
        },
    },
}
"""The part of Zephyr's own schema of module.yml that is used here; both paths are relative to the module."""

ZEPHYR_CMAKE = """cmake_minimum_required(VERSION 3.13)
project(application C)
foreach(name NET SECOND)
    set(CONFIG_BITQ_${name} y)
    set(CONFIG_BITQ_${name}_SELFTEST y)
endforeach()
macro(zephyr_library_named name)
    set(ZEPHYR_CURRENT_LIBRARY ${name})
    add_library(${name} STATIC "")
    target_link_libraries(${name} PUBLIC zephyr_interface)
endmacro()
function(zephyr_library_sources)
    foreach(source ${ARGN})
        target_sources(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${source})
    endforeach()
endfunction()
function(zephyr_library_compile_definitions)
    target_compile_definitions(${ZEPHYR_CURRENT_LIBRARY} PRIVATE ${ARGN})
endfunction()
function(zephyr_include_directories)
    target_include_directories(zephyr_interface INTERFACE ${ARGN})
endfunction()
add_library(zephyr_interface INTERFACE)
add_subdirectory(@FIRST@ first)
add_subdirectory(@SECOND@ second)
add_executable(application main.c)
target_link_libraries(application PRIVATE -Wl,--whole-archive bitq_net bitq_second -Wl,--no-whole-archive)
"""
CALLER = """#include "net.h"
#include "second.h"
int net_selftest(void);
int second_selftest(void);
int main(void) { return NET_INPUT_LENGTH == SECOND_INPUT_LENGTH || net_selftest() || second_selftest(); }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return deliver(tmp_path_factory.mktemp("made") / "deploy", "conv", optimize="speed")


def cmake(source, build, *definitions):
    run_tool([CMAKE, "-G", "Unix Makefiles", "-S", str(source), "-B", str(build), *definitions], timeout_s=120)
    run_tool([CMAKE, "--build", str(build)], timeout_s=120)


@needs_cmake
def test_cmake_builds_the_folder_alone_and_runs_its_self_test(folder, tmp_path):
    cmake(folder, tmp_path / "build", f"-DCMAKE_C_FLAGS={' '.join(STRICT)}")
    ran = run_tool([str(Path(CMAKE).parent / "ctest"), "--test-dir", str(tmp_path / "build")], timeout_s=60).decode()
    assert re.search(r"net_selftest.*Passed", ran)


@needs_cmake
def test_two_models_are_targets_of_one_application(folder, tmp_path):
    other = deliver(tmp_path / "other", "dense", name="second")
    (tmp_path / "main.c").write_text(
        '#include "net.h"\n#include "second.h"\nstatic int8_t x[4096];\nstatic int32_t y[64];\n'
        "int main(void) { return net_run(x, y) + second_run(x, y) > 1000; }\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(application C)\n"
        f"add_subdirectory({folder} one)\nadd_subdirectory({other} two)\n"
        "add_executable(application main.c)\ntarget_link_libraries(application PRIVATE bitq_net bitq_second)\n"
    )
    cmake(tmp_path, tmp_path / "build")
    run_tool([str(tmp_path / "build" / "application")], timeout_s=30)


@needs_cmake
def test_a_model_of_another_version_is_refused_beside_the_first(folder, tmp_path):
    other = deliver(tmp_path / "other", "dense", name="second")
    (other / "bitq.h").write_text((other / "bitq.h").read_text() + "/* older */\n")
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(application C)\n"
        f"add_subdirectory({folder} one)\nadd_subdirectory({other} two)\n"
    )
    with pytest.raises(ToolError, match=r"bitq_second: bitq\.h is not that of another model"):
        cmake(tmp_path, tmp_path / "build")


@needs_cmake
def test_libraries_for_size_and_for_speed_are_linked_together(tmp_path):
    # Archives: of two that define a function the first is taken, if it defines nothing else that both must.
    small, fast = deliver(tmp_path / "small", "gru", name="small"), deliver(tmp_path / "fast", "gru", name="fast")
    (tmp_path / "main.c").write_text(
        "int fast_selftest(void);\nint small_selftest(void);\n"
        "int main(void) { return fast_selftest() + small_selftest(); }\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(application C)\n"
        f"add_subdirectory({small} small)\nadd_subdirectory({fast} fast)\n"
        "target_compile_options(bitq_small PRIVATE -Os)\ntarget_compile_options(bitq_fast PRIVATE -O2)\n"
        f"add_executable(application main.c {small}/example_main.c {fast}/example_main.c)\n"
        "target_compile_definitions(application PRIVATE BITQ_SELFTEST)\n"
        "target_link_libraries(application PRIVATE bitq_fast bitq_small)\n"
    )
    cmake(tmp_path, tmp_path / "build")
    run_tool([str(tmp_path / "build" / "application")], timeout_s=30)


@needs_cmake
def test_zephyr_compiles_two_modules_and_links_them_whole(folder, tmp_path):
    text = ZEPHYR_CMAKE
    for mark, place in (("@FIRST@", folder), ("@SECOND@", deliver(tmp_path / "other", "dense", name="second"))):
        module = yaml.safe_load((place / "zephyr" / "module.yml").read_text())
        jsonschema.validate(module, ZEPHYR_MODULE)
        assert (place / module["build"]["kconfig"]).is_file()
        text = text.replace(mark, str(place / module["build"]["cmake"]))
    (tmp_path / "CMakeLists.txt").write_text(text)
    (tmp_path / "main.c").write_text(CALLER)
    cmake(tmp_path, tmp_path / "build")
    run_tool([str(tmp_path / "build" / "application")], timeout_s=30)


def test_kconfig_is_read_as_it_is_meant(folder):
    kconfiglib = pytest.importorskip("kconfiglib", reason="kconfiglib is not installed: pip install kconfiglib")
    kconfig = kconfiglib.Kconfig(str(folder / "zephyr" / "Kconfig"), warn_to_stderr=False)
    assert kconfig.warnings == []
    model, selftest = kconfig.syms["BITQ_NET"], kconfig.syms["BITQ_NET_SELFTEST"]
    assert (model.str_value, selftest.assignable) == ("n", ())
    model.set_value("y")
    assert selftest.assignable == (0, 2)


def test_an_arduino_sketch_runs_the_self_test(folder, tmp_path):
    properties = dict(line.split("=", 1) for line in (folder / "library.properties").read_text().splitlines())
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category"} <= set(properties)
    assert (folder / properties["includes"]).is_file()
    (tmp_path / "Arduino.h").write_text(ARDUINO_H)
    (tmp_path / "core.cpp").write_text(ARDUINO_MAIN)
    sketch = (folder / "examples" / "selftest" / "selftest.ino").read_text()
    (tmp_path / "sketch.cpp").write_text(f"#include <Arduino.h>\n{sketch}")
    flags = ["-DARDUINO=10819", "-w", "-Os", "-ffunction-sections", f"-I{tmp_path}", f"-I{folder}"]
    objects = []
    for source in [*sorted(folder.glob("*.c")), tmp_path / "core.cpp", tmp_path / "sketch.cpp"]:
        language = ["cc", "-std=gnu11"] if source.suffix == ".c" else ["c++", "-std=gnu++14", "-fno-exceptions"]
        objects.append(tmp_path / f"{source.stem}.o")
        run_tool([*ZIG, *language, *flags, "-c", str(source), "-o", str(objects[-1])], timeout_s=120)
    host_compiler().build([], objects, tmp_path / "program")
    assert run_tool([str(tmp_path / "program")], timeout_s=30).decode().strip() == "net: passed"


def test_only_what_is_compiled_is_listed():
    files = integrations("net", ["model.c", "model.h", "bitq.h", "bitq_bits.c", "example_main.c"])
    assert "    bitq_bits.c\n    model.c)" in files["CMakeLists.txt"].replace("\n)", ")")
    assert all(name in files["zephyr/CMakeLists.txt"] for name in ("../model.c", " bitq_bits.c", " bitq.h"))
    assert "@" not in "".join(files.values())
