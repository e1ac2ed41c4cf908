"""What every registered name promises; a new entry is tested by being registered."""

from dataclasses import fields

import numpy as np
import pytest
import torch

import bitq
from bitq.config import GROUPS, conf_dir, named_method
from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.data.config import DATASETS
from bitq.data.dataset import Dataset, InputSpec
from bitq.data.load import load
from bitq.device.config import TARGETS
from bitq.ir.reference import evaluate
from bitq.nn.config import MODELS, OnnxConfig
from bitq.quant.codebook import CODEBOOKS
from bitq.train.config import TrainConfig
from bitq.train.fit import fit
from bitq.trees.config import ForestConfig
from tests.data_sets import blobs

SHAPES = {"mlp": (1, 6, 6), "lenet": (1, 20, 20), "cnn1d": (3, 40), "cnn2d": (1, 16, 16), "gesture": (3, 50)}
METHODS = sorted(path.stem for path in (conf_dir() / "quant").glob("*.yaml"))
ENTRIES = [(group, name) for group, registry in GROUPS.items() for name in registry]
NETWORKS = [name for name in MODELS if MODELS[name].config not in (ForestConfig, OnnxConfig)]
EVERY_NETWORK = pytest.mark.parametrize("name", NETWORKS)


def model_of(name: str, classes: int = 3) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS[name].load()(MODELS[name].config(), SHAPES[name], classes)


@pytest.mark.parametrize(("group", "name"), ENTRIES)
def test_an_entry_has_a_documented_config_with_its_name_and_code_that_loads(group, name):
    entry = GROUPS[group][name]
    assert fields(entry.config)[0].name == "name"
    assert entry.config.__doc__
    assert not entry.config.__doc__.startswith(f"{entry.config.__name__}(")
    assert callable(entry.load())


@EVERY_NETWORK
def test_a_network_is_plain_and_gives_a_score_per_class(name):
    model = model_of(name, classes=4)
    assert model.eval()(torch.zeros(2, *SHAPES[name])).shape == (2, 4)
    assert all(type(module).__module__.startswith("torch.nn") for module in list(model.modules())[1:])
    assert all("." not in child for child, _ in model.named_children())


@EVERY_NETWORK
def test_a_network_depends_on_the_seed_alone(name):
    first, second = model_of(name).state_dict(), model_of(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


@EVERY_NETWORK
@pytest.mark.parametrize("book", ["bipolar", "int8"])
def test_a_network_trains_rounds_and_lowers(name, book):
    data = blobs(120, shape=SHAPES[name])
    config = TrainConfig(epochs=1, batch=32)
    fitted = fit(model_of(name), data, config, 0, policy={"*": book}, method=named_method("ste_msqe"))
    x = torch.from_numpy(data.train.x).float() * data.input.scale
    graph = bitq.lower(fitted.quantized, x, data.input)
    rows = np.moveaxis(data.test.x, 1, -1) if data.test.x.ndim > 2 else data.test.x
    with torch.no_grad():
        expected = fitted.quantized.model(torch.from_numpy(data.test.x).float() * data.input.scale).argmax(dim=1)
    assert (evaluate(graph, rows).winners == expected.numpy()).mean() > 0.95


@EVERY_NETWORK
@pytest.mark.parametrize("shape", [(3,), (3, 2), (1, 2, 2)])
def test_an_input_that_does_not_fit_is_refused_with_advice(name, shape):
    try:
        model = MODELS[name].load()(MODELS[name].config(), shape, 2)
    except ConfigError as error:
        said = str(error)
        assert f"model {name}" in said
        assert "try model=" in said or "lower model." in said
    else:
        assert model.eval()(torch.zeros(2, *shape)).shape == (2, 2)


def test_lenet_has_the_weights_that_it_claims():
    model = MODELS["lenet"].load()(MODELS["lenet"].config(), (1, 28, 28), 10)
    assert sum(p.numel() for p in model.parameters() if p.dim() > 1) == 11_912


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("book", CODEBOOKS)
def test_a_method_brings_any_codebook_to_plain_weights(name, book):
    method = named_method(name)
    validate(method, "quant")
    assert method.name == name
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    fitted = fit(model, blobs(64), TrainConfig(epochs=2, batch=16), 0, policy={"*": book}, method=method)
    for key, weight in fitted.quantized.weights.items():
        scale = weight.scale.astype(np.float32)[:, None]
        assert np.array_equal(model.state_dict()[key].numpy(), weight.codes * scale)


def test_an_unknown_method_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match=r"unknown method 'ste_msq'.*'ste_msqe'"):
        named_method("ste_msq")


@pytest.mark.parametrize("name", list(DATASETS))
def test_a_dataset_delivers_what_is_promised_or_says_what_is_missing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITQ_DATA", raising=False)
    try:
        data = load(DATASETS[name].config())
    except bitq.BitqError as error:
        code, said = error.exit_code, str(error)
        assert code in (2, 3)
        assert len(said.splitlines()) <= 3
    else:
        assert isinstance(data, Dataset)
        assert -128 <= data.input.zero_point <= 127
        assert len(data.class_weights) == len(data.classes)
        assert data.train.x.dtype == np.int8
        assert data.digest() == load(DATASETS[name].config()).digest()


@pytest.mark.parametrize("name", list(TARGETS))
def test_a_target_is_a_core(name):
    assert TARGETS[name].config(name=name).core.display.replace("-", "_") == name


def test_the_library_works_in_a_loop_of_ones_own(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 3))
    data = blobs()
    x, y = torch.from_numpy(data.train.x).float() / 64, torch.from_numpy(data.train.y)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    quantizer = bitq.quantize(model, {"*": "bipolar"}, optimizer, total_steps=100)
    for _ in range(100):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    graph = bitq.lower(quantizer.finish(), x, InputSpec((6,), 1 / 64, 0), name="mine")
    folder = bitq.export(graph, tmp_path / "deploy")
    scores, winners = bitq.load(folder).predict(data.test.x)
    expected = evaluate(graph, data.test.x)
    assert np.array_equal(scores, expected.scores)
    assert np.array_equal(winners, expected.winners)
    assert (winners == data.test.y).mean() > 0.9


def test_cnn2d_has_the_weights_that_it_claims():
    model = MODELS["cnn2d"].load()(MODELS["cnn2d"].config(), (1, 24, 24), 10)
    assert sum(p.numel() for p in model.parameters() if p.dim() > 1) == 10_908


def test_gesture_has_the_weights_that_it_claims():
    model = model_of("gesture", classes=2)
    assert sum(p.numel() for p in model.parameters() if p.dim() > 1) == 252
    wide = MODELS["gesture"].load()(MODELS["gesture"].config(width=2), (3, 50), 2)
    assert (wide.conv.out_channels, wide.gru.hidden_size) == (8, 12)
