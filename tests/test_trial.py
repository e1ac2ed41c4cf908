import pytest

from bitq import trial as under_test
from bitq.config import VariantConfig, compose
from bitq.core.processes import reporting
from bitq.data.load import load
from bitq.search.knapsack import allocate
from bitq.search.outcome import Trial
from bitq.space import variant_of
from bitq.sweep import _trial_job
from bitq.trial import (
    Costs,
    Repeat,
    SensitivityJob,
    TrialJob,
    measure_sensitivities,
    predict_costs,
    predicted_bytes,
    run_trial,
    with_trial,
)
from tests.data_sets import blobs

MATRICES = ("fc1.weight", "head.weight")


@pytest.fixture(scope="module")
def config():
    return compose(["experiment=digits", "train.epochs=2", "repeats=1"])


@pytest.fixture(scope="module")
def data(config):
    return load(config.data)


def job(config, known=None, limits=None, costs=(), predicted=None):
    one = with_trial(config, VariantConfig({"*": "odd2"}))
    return TrialJob(Trial(7, {"x": 1}), one, 2, 1.0, costs, limits or {}, known or {}, predicted or {})


def test_the_objective_is_mean_minus_spread_and_finished_repeats_are_not_trained_again(config, data, monkeypatch):
    reported = []
    with reporting(reported.append):
        first = run_trial(data, job(config))
    mean = sum(first.per_seed) / 2
    deviation = abs(first.per_seed[0] - first.per_seed[1]) / 2**0.5
    assert first.value == pytest.approx(mean - deviation)
    assert first.state == "complete"
    assert [r for r in reported if isinstance(r, Repeat)] == [Repeat(1000 + i, first.per_seed[i]) for i in (0, 1)]
    assert reported[0] == Costs(first.costs)
    again = []
    with reporting(again.append):
        assert run_trial(data, job(config, {1000: first.per_seed[0]})) == first
    assert [r for r in again if isinstance(r, Repeat)] == [Repeat(1001, first.per_seed[1])]
    monkeypatch.setattr(under_test, "run_repeats", lambda *_: pytest.fail("trained"))
    assert run_trial(data, job(config, dict(zip((1000, 1001), first.per_seed, strict=True)))) == first


def test_a_trial_over_a_limit_is_not_trained(config, data, monkeypatch):
    monkeypatch.setattr(under_test, "run_repeats", lambda *_: pytest.fail("trained"))
    reported = []
    with reporting(reported.append):
        outcome = run_trial(data, job(config, limits={"parameter_bytes": 1000}))
    assert outcome.state == "over"
    assert outcome.costs["parameter_bytes"] > 1000
    assert reported == [Costs(outcome.costs)]


def test_a_network_is_built_and_executed_for_one_of_its_trials_only(config, data, monkeypatch):
    asked = {"parameter_bytes": 9000.0, "instructions": 9.0}
    known = {"parameter_bytes": 2000.0, "instructions": 5.0}
    monkeypatch.setattr(under_test, "predict_costs", lambda *_: asked)
    for predicted, found in ((known, known), ({"parameter_bytes": 2000.0}, asked), ({}, asked)):
        limits = {"instructions": 1}
        outcome = run_trial(data, job(config, limits=limits, costs=("instructions",), predicted=predicted))
        assert outcome.state == "over"
        assert outcome.costs == found


def test_trials_of_one_network_share_what_it_costs(tmp_path):
    config = compose(["experiment=digits", "search=lambda_bits"])
    same = {f"bits/{matrix}": 1 for matrix in MATRICES}
    tried = ({**same, "quant.strength": 1.0}, {**same, "quant.strength": 2.0}, {**same, f"bits/{MATRICES[0]}": 2})
    predicted = {}
    first, second, third = (_trial_job(config, tmp_path, Trial(0, params), predicted) for params in tried)
    first.predicted["instructions"] = 5.0
    assert second.predicted == {"instructions": 5.0}
    assert third.predicted == {}


@pytest.mark.parametrize("books", [("bipolar", "int8"), ("odd4", "odd2")])
def test_predicted_costs_are_those_of_the_trained_network(config, data, tmp_path, books):
    from bitq.codegen.emit import parameter_bytes
    from bitq.deliver import Delivery, run_delivery
    from bitq.experiment import Job, run_job

    one = with_trial(config, VariantConfig(dict(zip(MATRICES, books, strict=True))))
    costs = predict_costs(one, data, "trial", ["flash_bytes", "ram_bytes", "instructions"])
    graph = run_job(data, Job(one, "trial", 0, tmp_path)).graph
    measured = run_delivery(data, Delivery("trial", graph, tmp_path / "deploy", config.target)).measurement
    assert costs["parameter_bytes"] == parameter_bytes(graph)
    assert costs["flash_bytes"] == pytest.approx(measured.flash_bytes, rel=0.05)
    assert costs["ram_bytes"] == pytest.approx(measured.ram_bytes, rel=0.05)
    assert costs["instructions"] == pytest.approx(measured.instructions, rel=0.05)


@pytest.mark.parametrize(
    "change", [{}, {"widths/hidden.0": 2.0}, {"quant.scale": "channel"}, {"quant.strength": 3.0}], ids=str
)
def test_bytes_are_known_before_a_trial_is_proposed(config, data, change):
    searching = compose(["experiment=digits", "search=width_bits"])
    params = {"widths/hidden.0": 1.0, **{f"bits/{m}": b for m, b in zip(MATRICES, (1, 4), strict=True)}}
    size = predicted_bytes(searching, data)
    assert size(params) != size({**params, "bits/fc1.weight": 2})
    one = with_trial(searching, variant_of(searching, {**params, **change}))
    assert size({**params, **change}) == predict_costs(one, data, "trial", [])["parameter_bytes"]


@pytest.mark.parametrize(("scale", "model"), [("tensor", "gesture"), ("gate", "gesture"), ("tensor", "cnn1d")])
def test_predicted_bytes_count_the_scales_that_the_method_trains(scale, model, tmp_path):
    from bitq.codegen.emit import parameter_bytes
    from bitq.experiment import Job, run_job

    windows = blobs(64, shape=(3, 20))
    config = compose(["experiment=digits", f"model={model}", f"quant.scale={scale}", "train.epochs=1"])
    one = with_trial(config, VariantConfig({"*": "bipolar"}))
    graph = run_job(windows, Job(one, "trial", 0, tmp_path)).graph
    assert predict_costs(one, windows, "trial", [])["parameter_bytes"] == parameter_bytes(graph)


def test_more_bits_round_better_and_cost_what_they_cost(config, data):
    table = measure_sensitivities(data, SensitivityJob(config, MATRICES, (1, 4, 8)))
    assert set(table.losses) == set(table.sizes) == set(MATRICES)
    for matrix in MATRICES:
        losses = table.losses[matrix]
        assert losses[1] > losses[4] > losses[8] - 1e-3
        assert abs(losses[8]) < 0.01
        assert table.sizes[matrix][1] == 0
    policy = {"fc1.weight": "int8", "head.weight": "odd4"}
    predicted = predict_costs(with_trial(config, VariantConfig(policy)), data, "trial", [])["parameter_bytes"]
    sizes = table.sizes["fc1.weight"][8] + table.sizes["head.weight"][4]
    assert predicted == table.least + sizes
    assert allocate(table.losses, table.sizes, 10**9) == dict.fromkeys(MATRICES, 8)
    assert allocate(table.losses, table.sizes, 0) == dict.fromkeys(MATRICES, 1)
