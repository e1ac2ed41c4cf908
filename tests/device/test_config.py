from pathlib import Path

import pytest
from omegaconf import OmegaConf

from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.device.config import CORES, TARGETS, TargetConfig

CONF = Path(__file__).parents[2] / "conf" / "target"


@pytest.mark.parametrize("name", list(TARGETS))
def test_every_target_has_a_core_and_a_yaml_file_that_names_it(name):
    yaml = OmegaConf.load(CONF / f"{name}.yaml")
    assert yaml.pop("defaults") == [f"schema/{name}@_here_", "_self_"]
    config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TARGETS[name].config), yaml))
    validate(config, "target")
    assert config.core is CORES[name]


def test_no_yaml_file_without_a_target():
    assert {path.stem for path in CONF.glob("*.yaml")} == set(TARGETS)


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"name": "cortex_m0+"}, "cortex_m0"),
        ({"compiler": "icc"}, "target.compiler"),
        ({"optimize": "fast"}, "target.optimize"),
        ({"flash_bytes": 0}, "target.flash_bytes"),
        ({"samples": -1}, "target.samples"),
    ],
)
def test_wrong_values_are_refused(values, key):
    with pytest.raises(ConfigError, match=key):
        validate(TargetConfig(**values), "target")
