import importlib.util
import json
import re

import numpy as np
import pytest

import bitq
from bitq import deploy
from bitq.lowering.lower import lower
from bitq.train.inference import to_float
from tests.networks import Case, build


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rounded, x, spec = build(Case((6,), ("fc",)))
    return bitq.export(lower(rounded, to_float(x, spec), spec), tmp_path_factory.mktemp("made") / "deploy")


@pytest.mark.skipif(importlib.util.find_spec("unicorn") is None, reason="unicorn is not installed")
def test_an_exact_folder_passes_and_one_whose_vectors_differ_does_not(folder, capsys):
    assert deploy.main(["verify", str(folder)]) == 0
    assert "exact" in capsys.readouterr().out
    path = folder / "vectors.npz"
    content = path.read_bytes()
    vectors = dict(np.load(path, allow_pickle=False))
    vectors["scores"][7, 0] += 1
    np.savez(path, **vectors)
    assert deploy.main(["verify", str(folder)]) == 5
    path.write_bytes(content)


def test_the_size_of_every_symbol_is_listed(folder, capsys):
    assert deploy.main(["size", str(folder), "--target", "cortex-m4"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cortex-m4: model ")
    assert "model_run" in out
    total = int(re.search(r"model ([\d,]+) B flash", out)[1].replace(",", ""))
    rows = re.findall(r"^ *(-?[\d,]+) +(-?[\d,]+) +(-?[\d,]+) +[\d,]+  (\S+)", out, re.MULTILINE)
    assert sum(int(flash.replace(",", "")) for flash, *_ in rows) == total
    names = [layer["name"] for layer in json.loads((folder / "manifest.json").read_text())["layers"]]
    assert [name for *_, name in rows][: len(names)] == names


@pytest.mark.parametrize("spelling", ["cortex-m0+", "cortex-m0plus", "Cortex-M4", "cortex_m33"])
def test_a_core_is_known_as_vendors_write_it(folder, spelling, capsys):
    assert deploy.main(["size", str(folder), "--target", spelling]) == 0
    assert capsys.readouterr().out.lower().startswith("cortex-m")


def test_a_core_that_is_none_is_answered_with_those_that_are(folder, capsys):
    with pytest.raises(SystemExit) as ended:
        deploy.main(["verify", str(folder), "--target", "z80"])
    assert ended.value.code == 2
    assert "rv32ec" in capsys.readouterr().err


def test_a_folder_that_is_none_is_a_line_and_a_code(tmp_path, capsys):
    assert deploy.main(["size", str(tmp_path)]) != 0
    assert capsys.readouterr().err.startswith("bitq.deploy: ")
