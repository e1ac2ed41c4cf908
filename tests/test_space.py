from dataclasses import asdict

import pytest

from bitq.config import compose
from bitq.core.errors import ConfigError
from bitq.search.config import Range
from bitq.space import anchors, bits_of, expand, settings_of, variant_of

MATRICES = ["conv1.weight", "conv2.weight", "fc1.weight", "head.weight"]


def experiment(*overrides, search="lambda_bits"):
    return compose(["experiment=mnist", f"search={search}", *overrides])


def test_bits_and_widths_become_one_parameter_each():
    assert list(expand(experiment(), MATRICES)) == ["quant.strength", *(f"bits/{m}" for m in MATRICES)]
    space = expand(experiment(search="width_bits"), MATRICES)
    assert list(space)[:3] == ["widths/channels.0", "widths/channels.1", "widths/hidden"]


def test_any_single_number_or_word_of_the_experiment_may_vary():
    config = experiment(
        "+search.space={train.lr: {low: 0.001, high: 0.01}, quant.schedule: {choices: [linear, step]}}"
    )
    space = expand(config, MATRICES)
    assert space["train.lr"] == Range(low=0.001, high=0.01)
    variant = variant_of(config, {**{k: v.nearest(0) for k, v in space.items()}, "quant.schedule": "step"})
    own = compose(["experiment=mnist"])
    own.variants["trial"] = variant
    assert own.of("trial").train.lr == 0.001
    assert own.of("trial").quant.schedule == "step"


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("quant.strenght", "'quant.strenght' is no key that may vary. Did you mean 'quant.strength'"),
        ("data.seed", "'data.seed' is no key that may vary"),
        ("model.channels", r"'model.channels' is \[8, 16\], no single number"),
    ],
)
def test_other_keys_are_refused(key, says):
    config = experiment(f"+search.space={{{key}: {{choices: [1, 2]}}}}")
    with pytest.raises(ConfigError, match=says):
        expand(config, MATRICES)


def test_an_empty_space_is_refused():
    config = experiment("~search.space.strength", "~search.space.bits")
    with pytest.raises(ConfigError, match=r"search\.space: name at least one"):
        expand(config, MATRICES)


def test_a_trial_becomes_a_policy_and_settings():
    config = experiment("+search.space={widths: {choices: [0.5, 1.0, 2.0]}}")
    params = {"quant.strength": 3.0, "widths/channels.0": 0.5, "widths/channels.1": 2.0, "widths/hidden": 1.0}
    bits = dict(zip(MATRICES, (8, 1, 2, 4), strict=True))
    params |= {f"bits/{m}": b for m, b in bits.items()}
    variant = variant_of(config, params)
    assert variant.policy == dict(zip(MATRICES, ("int8", "bipolar", "odd2", "odd4"), strict=True))
    assert variant.settings == {"quant.strength": 3.0, "model.channels": [4, 32], "model.hidden": 32}
    assert bits_of(params) == bits


def test_without_bits_every_trial_has_the_policy_of_the_variant():
    config = experiment("search.variant=hybrid", search="lambda")
    assert variant_of(config, {"quant.strength": 3.0}).policy == config.variants["hybrid"].policy
    with pytest.raises(ConfigError, match=r"search\.variant: 'float' is no variant trained by the method"):
        settings_of(experiment("search.variant=float", search="lambda"))


def test_the_obvious_is_the_same_bits_everywhere_and_more_at_the_ends():
    config = experiment("quant.strength=1000.0")
    found = anchors(config, expand(config, MATRICES))
    assert {params["quant.strength"] for params in found.values()} == {10.0}  # the nearest that the space has
    assert {name: tuple(bits_of(params).values()) for name, params in found.items()} == {
        "1 bit": (1, 1, 1, 1),
        "2 bit": (2, 2, 2, 2),
        "4 bit": (4, 4, 4, 4),
        "8 bit": (8, 8, 8, 8),
        "first 8 bit": (8, 1, 1, 1),
        "last 8 bit": (1, 1, 1, 8),
        "ends 8 bit": (8, 1, 1, 8),
    }
    assert anchors(experiment(search="lambda"), {"quant.strength": Range(low=0.5, high=2.0)}) == {
        "as it is": {"quant.strength": 1.0}
    }


def test_more_trials_and_other_workers_go_on_with_a_study_but_nothing_else():
    same = settings_of(experiment())
    for change in ("search.n_trials=99", "workers=3", "track.folder=elsewhere", "search.executor=ray"):
        assert settings_of(experiment(change)) == same
    for change in (
        "train.epochs=3",
        "search.repeats=2",
        "quant.strength=2.0",
        "search.budget.flash_bytes=9",
        "seed=1",
    ):
        assert settings_of(experiment(change)) != same
    assert "space" in asdict(experiment().search)  # held by the study itself
