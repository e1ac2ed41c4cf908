from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from bitq.config import GROUPS, ExperimentConfig, VariantConfig, conf_dir, store_schemas, to_experiment
from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.quant.config import MethodConfig
from bitq.search.config import SearchConfig
from bitq.train.config import TrainConfig

NEEDS = {"arrays": ["data.path=some.npz"]}
FILES = sorted(path.relative_to(conf_dir()) for path in conf_dir().glob("*/*.yaml"))


def composed(*overrides: str) -> ExperimentConfig:
    store_schemas()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return to_experiment(compose("config", overrides=list(overrides)))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_composes_into_checked_values(file: Path):
    group, name = str(file.parent), file.stem
    config = composed(f"{group}={name}", *NEEDS.get(name, []))
    if group in GROUPS:
        chosen = getattr(config, group)
        assert chosen.name == name
        key = name if name in GROUPS[group] else "method"
        assert type(chosen) is GROUPS[group][key].config


@pytest.mark.parametrize("group", GROUPS)
def test_a_file_states_only_what_differs_from_the_defaults(group):
    for file in FILES:
        if str(file.parent) == group and group != "quant":
            text = (conf_dir() / file).read_text()
            assert f"schema/{file.stem}@_here_" in text
            assert f"name: {file.stem}" in text


def test_a_choice_without_a_file_is_a_field_of_the_schema_alone():
    for group, registry in GROUPS.items():
        files = {file.stem for file in FILES if str(file.parent) == group}
        assert set(registry) - {"method"} <= files, group


def test_the_files_hold_no_code():
    for file in [Path("config.yaml"), *FILES]:
        text = (conf_dir() / file).read_text()
        assert "_target_" not in text
        assert "${oc." not in text


@pytest.fixture
def config() -> ExperimentConfig:
    return composed()


def test_what_changes_the_training_changes_the_fingerprint(config):
    first = config.fingerprint()
    assert composed().fingerprint() == first
    changed = [
        replace(config, seed=1),
        replace(config, train=replace(config.train, lr=1e-4)),
        replace(config, quant=replace(config.quant, strength=2.0)),
        replace(config, variants={"float": VariantConfig(training="float")}),
    ]
    assert len({first, *(c.fingerprint() for c in changed)}) == 5


def test_what_does_not_change_the_training_leaves_the_fingerprint(config):
    other = composed("track=none", "workers=1", "target=cortex_m4", "traceback=true", "dry_run=true")
    assert other.fingerprint() == config.fingerprint()


def test_seeds_follow_the_first(config):
    assert replace(config, seed=5, repeats=3).seeds == [5, 6, 7]


@pytest.mark.parametrize("name", ["", "A", "a-b", "1a", "ä", "a" * 25, "../x", "a b", "a/b"])
def test_names_that_are_no_symbols_are_refused(config, name):
    for bad in (replace(config, experiment=name), replace(config, variants={name: VariantConfig(training="float")})):
        with pytest.raises(ConfigError, match="becomes part of C symbols"):
            validate(bad)


def test_a_run_needs_a_variant(config):
    with pytest.raises(ConfigError, match="variants: name at least one"):
        validate(replace(config, variants={}))


def test_nothing_is_trained_in_no_epochs(config):
    still = replace(config.train, epochs=0)
    with pytest.raises(ConfigError, match=r"train\.init=FILE"):
        validate(replace(config, train=still))
    still = replace(still, init="some.safetensors")
    with pytest.raises(ConfigError, match=r"variants\.binary, .*'~variants\.binary' '~variants\.hybrid'"):
        validate(replace(config, train=still))
    rounded = {name: config.variants[name] for name in ("float", "int8")}
    validate(replace(config, train=still, variants=rounded))
    with pytest.raises(ConfigError, match="a search cannot do without"):
        validate(replace(config, train=still, variants=rounded, search=SearchConfig()))


@pytest.mark.parametrize(("training", "policy"), [("float", {"*": "int8"}), ("ptq", {}), ("method", {})])
def test_training_and_policy_must_agree(training, policy):
    with pytest.raises(ConfigError, match="contradict"):
        validate(VariantConfig(policy, training), "variants.a")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"data": {"path": "${oc.env:HOME}"}}, "data.path: .*resolver"),
        ({"data": {"list": ["a", "${now:%Y}"]}}, r"data.list\[1\]: .*resolver"),
        ({"variants": {"a": {"policy": {"_target_": "os.system"}}}}, "variants.a.policy._target_: names code"),
        ({"train": "${a.b:c}"}, "train: .*resolver"),
    ],
)
def test_resolvers_and_code_are_refused_by_key(values, says):
    with pytest.raises(ConfigError, match=says):
        to_experiment(OmegaConf.create(values))


def test_a_plain_reference_is_allowed(config):
    assert composed("seed=7", "data.seed=${seed}").data.seed == 7


def test_the_defaults_of_the_schemas_are_valid():
    for group, registry in GROUPS.items():
        for name in registry:
            if name != "arrays":  # it needs a path
                validate(registry[name].config(), group)
    assert TrainConfig().name == "default"
    assert MethodConfig().regularizer == "hq"
