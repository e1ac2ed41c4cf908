import json

import numpy as np
import pytest

from bitq.core.errors import BitqError, DeployError
from bitq.device import deployment

from .toys import CONSTANT, Mlp, one_function, write_project


def change(folder, **values):
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_reads_what_is_compiled_and_leaves_out_headers_and_the_example(tmp_path):
    sources = {**one_function(CONSTANT), "example_main.c": "int main(void) { return 0; }\n"}
    model = deployment.read(write_project(tmp_path, sources, shape=(3, 4)))
    assert [path.name for path in model.sources] == ["model.c"]
    assert (model.input_length, model.scores, model.symbol) == (12, 3, "toy_run")


def test_a_changed_source_is_named(tmp_path):
    folder = Mlp().write(tmp_path)
    with (folder / "dense.c").open("a") as stream:
        stream.write(" ")
    with pytest.raises(DeployError, match=r"dense\.c.*SHA-256"):
        deployment.read(folder)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"schema_version": 99}, "99"),
        ({"entry": {"symbol": "f(); system"}}, "identifier"),
        ({"input": {"shape": [12], "dtype": "float32"}}, "float32"),
        ({"input": {"shape": [0], "dtype": "int8"}}, "shape"),
        ({"outputs": []}, "0 outputs"),
        ({"sources": []}, "no .c file"),
        ({"sources": [{"file": "gone.c", "sha256": ""}]}, "gone.c"),
        ({"sources": [{"file": "../../etc/passwd", "sha256": ""}]}, "outside"),
        ({"input": 3}, "not a valid manifest"),
    ],
)
def test_a_bad_manifest_is_refused(tmp_path, values, text):
    folder = write_project(tmp_path, one_function(CONSTANT))
    change(folder, **values)
    with pytest.raises(BitqError, match=text):
        deployment.read(folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_a_damaged_manifest_is_refused(tmp_path, content):
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(DeployError, match=r"manifest\.json"):
        deployment.read(tmp_path)


def test_no_manifest(tmp_path):
    with pytest.raises(DeployError, match="deploy folder"):
        deployment.read(tmp_path)


def test_vectors_come_back_and_bad_ones_are_refused(tmp_path):
    net = Mlp()
    model = deployment.read(net.write(tmp_path))
    x = net.inputs(5)
    scores, winner = net.evaluate(x)
    np.savez(tmp_path / "vectors.npz", input=x, scores=scores, winner=winner)
    assert np.array_equal(model.vectors().scores, scores)
    np.savez(tmp_path / "vectors.npz", input=x, scores=scores[:4], winner=winner)
    with pytest.raises(DeployError, match="do not fit"):
        model.vectors()
    np.savez(tmp_path / "vectors.npz", input=np.array([{}], object), scores=scores, winner=winner)
    with pytest.raises(DeployError, match="cannot read"):
        model.vectors()
    (tmp_path / "vectors.npz").write_bytes(b"PK\x03\x04 half")
    with pytest.raises(DeployError, match="cannot read"):
        model.vectors()


@pytest.mark.parametrize("change", [{"scores": float}, {"scores": np.int64}, {"winner": float}, {"winner": str}])
def test_vectors_of_another_type_are_refused(change, tmp_path):
    net = Mlp()
    model = deployment.read(net.write(tmp_path))
    x = net.inputs(5)
    arrays = dict(zip(("scores", "winner"), net.evaluate(x), strict=True))
    arrays |= {name: arrays[name].astype(dtype) for name, dtype in change.items()}
    np.savez(tmp_path / "vectors.npz", input=x, **arrays)
    with pytest.raises(DeployError, match=r"vectors\.npz.*expected int32"):
        model.vectors()


def test_vectors_with_one_damaged_byte_are_refused_or_whole(tmp_path):
    net = Mlp()
    model = deployment.read(net.write(tmp_path))
    x = net.inputs(200)
    scores, winner = net.evaluate(x)
    path = tmp_path / "vectors.npz"
    np.savez_compressed(path, input=x, scores=scores, winner=winner)
    whole, refused = path.read_bytes(), 0
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        try:
            assert np.array_equal(model.vectors().scores, scores)
        except DeployError:
            refused += 1
    assert refused > len(whole) // 10


def test_a_size_without_end_is_refused(tmp_path):
    folder = Mlp().write(tmp_path)
    change(folder, input={"shape": [float("inf")], "dtype": "int8"})
    with pytest.raises(DeployError, match="not a valid manifest"):
        deployment.read(folder)
