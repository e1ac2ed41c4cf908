import json
import re
import sys
import time
import zipfile
from dataclasses import asdict, replace

import numpy as np
import pytest

from bitq.codegen import deploy
from bitq.codegen.deploy import vectors_of, write_deploy
from bitq.codegen.integrations import integrations
from bitq.codegen.manifest import DeployInfo
from bitq.core import files
from bitq.core.errors import DeployError
from bitq.core.processes import run_tool
from bitq.device import deployment
from bitq.device.compiler import STRICT, host_compiler
from bitq.device.config import TargetConfig
from bitq.device.emulator import is_installed
from bitq.device.host import HostModel
from bitq.device.verify import verify
from bitq.ir.types import BIPOLAR
from pipelines.mcu.networks import NETWORKS
from tests.codegen.nets import sequence_net

INFO = DeployInfo(
    classes=("rest", "raise"),
    preprocess=(("clip", {"limit_g": 2.0}), ("resample", {"rate_hz": 25})),
    rate_hz=25.0,
    channels=("x", "y", "z"),
    units="m/s²",
    data_license="CC BY 4.0",
)


def vectors(graph, rows=1000):
    x = np.random.default_rng(3).integers(-128, 128, (7, 50, 3), dtype=np.int8)
    return vectors_of(graph, x, np.arange(7) % 2, at_least=rows)


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_folder_is_complete_and_readable(tmp_path):
    graph = sequence_net()
    manifest = write_deploy(tmp_path / "deploy", graph, INFO, vectors(graph))
    written = json.loads((tmp_path / "deploy" / "manifest.json").read_text())
    assert written == json.loads(json.dumps(asdict(manifest)))
    assert written["input"] == {"shape": [50, 3], "dtype": "int8", "scale": 0.05, "zero_point": -3}
    assert written["entry"]["prototype"] == "int32_t gesture_run(const int8_t *input, int32_t *scores);"
    assert written["outputs"] == [{"name": "fc", "offset": 0, "length": 2, "scale": 0.01, "zero_point": 0}]
    assert written["preprocess"][0] == {"name": "clip", "parameters": {"limit_g": 2.0}}
    assert written["parameter_bytes"] == sum(layer["bytes"] for layer in written["layers"])
    listed = {source["file"] for source in written["sources"]}
    assert set(content(tmp_path / "deploy")) == listed | set(integrations("gesture", listed)) | {
        "manifest.json",
        "vectors.npz",
        "README.md",
    }
    assert "gesture.h" in listed
    for source in written["sources"]:
        assert files.sha256_file(tmp_path / "deploy" / source["file"]) == source["sha256"]
    assert len(deployment.read(tmp_path / "deploy").vectors().input) == 1000
    assert list(tmp_path.iterdir()) == [tmp_path / "deploy"]


@pytest.mark.parametrize("language", ["c", "c++"])
def test_the_code_of_the_readme_compiles(language, tmp_path):
    graph, folder = NETWORKS["N4"](BIPOLAR), tmp_path / "deploy"
    none = vectors_of(graph, np.zeros((0, 50, 6), np.int8), np.zeros(0, np.int64), at_least=1)
    write_deploy(folder, graph, DeployInfo(hop=5), none)
    lines = re.findall(r"^## .*|^    [^#].*", (folder / "README.md").read_text(), re.MULTILINE)
    code = "\n".join("} {" if line.startswith("##") else line for line in lines if "gcc" not in line)
    (tmp_path / "main.c").write_text(
        f'#include "model.h"\nint main() {{ int16_t sample[6] = {{0}}; int32_t scores[2]; {{ {code} }}\n'
        "(void)scores; return sample[0]; }\n"
    )
    assert code.count("n4_run(") == code.count("n4_push(") == 1
    flags = ["-x", language, "-Wall", "-Werror", "-Wno-unused-variable", f"-I{folder}", "-c", "-o", "main.o"]
    run_tool([sys.executable, "-m", "ziglang", "cc", *flags, "main.c"], timeout_s=60, cwd=tmp_path)


def test_the_same_graph_gives_the_same_bytes(tmp_path, monkeypatch):
    graph = sequence_net()
    write_deploy(tmp_path / "a", graph, INFO, vectors(graph))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    monkeypatch.setattr(time, "time", lambda: 2_000_000_000.0)
    write_deploy(tmp_path / "b", graph, INFO, vectors(graph))
    assert content(tmp_path / "a") == content(tmp_path / "b")
    with zipfile.ZipFile(tmp_path / "a" / "vectors.npz") as archive:
        assert {member.date_time for member in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_a_failure_leaves_the_previous_folder_whole(tmp_path, monkeypatch):
    folder = tmp_path / "deploy"
    write_deploy(folder, sequence_net(), INFO, vectors(sequence_net()))
    before = content(folder)

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(deploy.files, "write_json", fail)
    with pytest.raises(DeployError, match="No space left"):
        write_deploy(folder, sequence_net(seed=1), INFO, vectors(sequence_net(seed=1)))
    assert content(folder) == before
    assert list(tmp_path.iterdir()) == [folder]


def test_a_new_model_replaces_the_old_one(tmp_path):
    folder = tmp_path / "deploy"
    write_deploy(folder, sequence_net(), INFO, vectors(sequence_net()))
    before = content(folder)
    write_deploy(folder, sequence_net(seed=1), INFO, vectors(sequence_net(seed=1)))
    assert content(folder)["model.c"] != before["model.c"]


def test_a_folder_of_something_else_is_not_touched(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    graph = sequence_net()
    with pytest.raises(DeployError, match="no deploy folder"):
        write_deploy(tmp_path, graph, INFO, vectors(graph))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: replace(v, input=v.input[:, :, :2]), "vectors.input"),
        (lambda v: replace(v, scores=v.scores[1:]), "vectors.scores"),
        (lambda v: replace(v, winner=v.winner.astype(np.int64)), "vectors.winner"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(tmp_path, change, message):
    graph = sequence_net()
    with pytest.raises(DeployError, match=message):
        write_deploy(tmp_path / "deploy", graph, INFO, change(vectors(graph)))
    assert not (tmp_path / "deploy").exists()


def test_class_names_must_be_one_per_score(tmp_path):
    graph = sequence_net()
    with pytest.raises(DeployError, match="3 class names for 2 scores"):
        write_deploy(tmp_path / "d", graph, replace(INFO, classes=("a", "b", "c")), vectors(graph))


def test_vectors_are_topped_up_without_touching_the_given_rows():
    graph = sequence_net()
    topped = vectors(graph, rows=20)
    np.testing.assert_array_equal(topped.label, [0, 1, 0, 1, 0, 1, 0, *[-1] * 13])
    np.testing.assert_array_equal(topped.input[:7], vectors(graph, rows=0).input)


def test_any_flipped_weight_bit_is_noticed(tmp_path):
    graph = sequence_net()
    expected = vectors(graph)
    rng = np.random.default_rng(0)
    for op in (0, 2):
        codes = graph.ops[op].weights.codes
        for position in rng.choice(codes.size, 3, replace=False):
            flipped = codes.copy()
            flipped.flat[position] *= -1
            weights = replace(graph.ops[op].weights, codes=flipped)
            ops = (*graph.ops[:op], replace(graph.ops[op], weights=weights), *graph.ops[op + 1 :])
            write_deploy(tmp_path / "mutant", replace(graph, ops=ops), INFO, expected)
            got = HostModel(tmp_path / "mutant", optimize="size").predict(expected.input)
            assert (got.scores != expected.scores).any()


@pytest.mark.parametrize("break_it", [False, True])
def test_the_self_test_tells_right_from_wrong(tmp_path, break_it):
    graph = sequence_net()
    folder = tmp_path / "deploy"
    given = vectors(graph)
    if break_it:
        given = replace(given, scores=given.scores + 1)
    write_deploy(folder, graph, INFO, given)
    sources = sorted(folder.glob("*.c"))
    host_compiler().build([*STRICT, "-O1", "-DBITQ_PUTCHAR=putchar"], sources, tmp_path / "selftest")
    runner = "import subprocess, sys; p = subprocess.run(sys.argv[1]); print(p.returncode)"
    output = run_tool([sys.executable, "-c", runner, str(tmp_path / "selftest")], timeout_s=30).decode()
    assert ("FAILED" in output, "passed" in output) == (break_it, not break_it)
    assert output.strip().endswith("1" if break_it else "0")


@pytest.mark.skipif(not is_installed(), reason="the emulator is not installed")
def test_firmware_is_exact_and_small(tmp_path):
    graph = sequence_net()
    given = vectors(graph)
    manifest = write_deploy(tmp_path / "d", graph, INFO, given)
    measured = verify(
        tmp_path / "d", TargetConfig(optimize="size", samples=20), given.input, given.scores, given.winner
    )
    assert measured.passed, measured.verdict
    assert measured.flash_bytes - manifest.parameter_bytes < 800  # the engine
    assert manifest.arena_bytes < 400
    assert measured.instructions is not None
    assert measured.instructions < 13 * (23 * 8 * 15 + 2 * 88)
