"""ONNX files on the command line: a quantized one goes straight to verified firmware, a float one is trained on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")

from bitq.config import compose  # noqa: E402
from bitq.core.errors import ConfigError  # noqa: E402
from bitq.data.load import load  # noqa: E402
from bitq.lowering.onnx import given  # noqa: E402
from bitq.rehearsal import check_variants  # noqa: E402
from tests.lowering.onnx_files import Net, float_network, quantized, weight  # noqa: E402


def regression() -> tuple[np.ndarray, np.ndarray]:
    """Return matrix ``(64, 10)`` and biases of a logistic regression on the digits."""
    data = load(compose(["experiment=digits"]).data)
    x = torch.from_numpy((data.train.x.astype(np.float32) - data.input.zero_point) * data.input.scale).flatten(1)
    matrix, bias = torch.zeros(64, 10, requires_grad=True), torch.zeros(10, requires_grad=True)
    optimizer = torch.optim.Adam([matrix, bias], 0.05)
    for _ in range(150):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(x @ matrix + bias, torch.from_numpy(data.train.y)).backward()
        optimizer.step()
    return matrix.detach().numpy(), bias.detach().numpy()


def write(path: Path) -> None:
    """Write it quantized, for images channels last."""
    matrix, bias = regression()
    step, net = float(np.abs(matrix).max()) / 127, Net(8, 8, 1)
    x = quantized(net, "x", 1 / 64, 3, np.int8)
    x = net.add("Reshape", x, net.const("shape", [-1, 64], np.int64))
    codes = np.rint(matrix / step).astype(np.int8)
    y = net.add("Add", net.add("MatMul", x, weight(net, "w", codes, step, axis=1)), net.const("b", bias))
    onnx.save(net.model(quantized(net, y, 0.25, 0, np.int8)), path)


def test_a_quantized_file_becomes_firmware_without_training(bitq):
    write(bitq.folder / "net.onnx")
    ran = bitq.run("+experiment=digits", "debug=smoke", "model=onnx", "model.path=net.onnx", "track=none")
    assert ran.code == 0, ran.err
    assert "net.onnx is quantized already: its integers are taken as they are" in ran.out
    assert ran.result["seeds"] == [0]
    ((name, variant),) = ran.result["variants"].items()
    assert (name, variant["kind"], variant["given"]) == ("quantized", "int8", "net.onnx")
    assert variant["metric"]["min"] > 0.9
    assert variant["metric"]["min"] == pytest.approx(variant["metric_before_rounding"]["min"], abs=0.02)
    target = variant["targets"]["cortex-m0plus"]
    assert target["samples_checked"] >= 1000
    assert (target["mismatches"], variant["host_mismatches"]) == (0, 0)
    assert target["instructions"] > 1000
    manifest = json.loads((Path(variant["deploy"]) / "manifest.json").read_text())
    assert manifest["name"] == "digits_quantized"


def test_what_else_is_asked_of_a_quantized_file_is_refused(tmp_path):
    write(tmp_path / "net.onnx")
    file = ["experiment=digits", "model=onnx", f"model.path={tmp_path / 'net.onnx'}"]
    config = compose(file)
    assert [v.training for v in config.variants.values()] == ["given"]
    check_variants(config, load(config.data))
    with pytest.raises(ConfigError, match=r"net\.onnx turns \(8, 8, 1\) into \(10,\); the data need \(3, 50\) and"):
        given(config.model, (3, 50), 2)
    with pytest.raises(ConfigError, match="without other variants and without a search"):
        compose([*file, "search=bits"])
    with pytest.raises(ConfigError, match=r"name the file, model=onnx model\.path=FILE"):
        compose(["experiment=digits", "+variants.mine={training: given}"])
    net = float_network()
    onnx.save(net.model(net.last), tmp_path / "net.onnx")
    assert "given" not in [v.training for v in compose(file).variants.values()]
