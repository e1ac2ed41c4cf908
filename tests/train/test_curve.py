"""The log of a training: what it holds, and that looking changes nothing."""

import numpy as np
import pytest
import torch
from torch import nn

from bitq.config import named_method
from bitq.data.dataset import Split
from bitq.quant.convergence import BINS
from bitq.train import curve
from bitq.train.config import TrainConfig
from bitq.train.fit import Fitted, fit
from tests.data_sets import blobs, spirals

METHODS = ("ste_msqe", "hq", "parq", "lsq", "dorefa")
ROADS = {"val/soft", "val/rounded", "val/reestimated"}


def run(method: str, epochs: int = 4, data=None) -> Fitted:
    data = data or blobs()
    torch.manual_seed(0)
    width, outputs = data.input.shape[0], len(data.classes) or 2
    model = nn.Sequential(nn.Linear(width, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, outputs))
    config = TrainConfig(epochs=epochs, batch=32, lr=0.01)
    return fit(model, data, config, 0, policy={"*": "odd2"}, method=named_method(method))


@pytest.mark.parametrize("method", METHODS)
def test_looking_changes_nothing(method, monkeypatch):
    looked = run(method)
    assert set(looked.history[-1]) >= ROADS
    monkeypatch.setattr(curve.Curve, "_roads", lambda *_: {})
    blind = run(method)
    for (name, one), other in zip(
        looked.quantized.model.state_dict().items(), blind.quantized.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name


def test_the_roads_meet_where_everything_is_frozen():
    last = run("ste_msqe", 12).history[-1]
    assert last["val/soft"] == last["val/rounded"]


def test_there_are_ten_looks_at_most_and_one_at_the_end():
    for epochs in (3, 10, 25):
        history = run("bwn", epochs).history
        looks = [number for number, log in enumerate(history, 1) if set(log) >= ROADS]
        assert len(looks) == min(10, epochs)
        assert looks[-1] == epochs


def test_the_end_tells_when_codes_settled_and_how_weights_moved():
    fitted = run("ste_msqe", 8)
    settled = [log["weights/0.weight/settled"] for log in fitted.history]
    assert settled == sorted(settled)
    assert settled[-1] == 1
    assert {name: counts.shape for name, counts in fitted.evolution.items()} == {
        "0.weight": (8, BINS),
        "3.weight": (8, BINS),
    }


def test_a_regression_is_logged_in_its_metric():
    assert {"val/mae", *ROADS} <= set(run("ste_msqe", 3, spirals()).history[-1])


def test_a_sample_is_even_and_whole_where_it_can_be():
    split = Split(np.arange(10, dtype=np.int8)[:, None], np.arange(10))
    assert curve.sample(split, 4).y.tolist() == [0, 3, 6, 9]
    assert curve.sample(split, 10) is split
