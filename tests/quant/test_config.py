import pytest

from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.quant.config import MethodConfig
from bitq.quant.feedback import FEEDBACKS
from bitq.quant.forwards import FORWARDS
from bitq.quant.regularizers import REGULARIZERS
from bitq.quant.scales import SCALES
from bitq.quant.schedules import SCHEDULES


def options(name: str) -> set[str]:
    return set(MethodConfig.__dataclass_fields__[name].metadata["options"])


def test_the_choices_are_what_the_code_has():
    assert options("regularizer") == {"none", *REGULARIZERS}
    assert options("schedule") == {*SCHEDULES, *FEEDBACKS}
    assert options("forward") == {"float", *FORWARDS}
    assert options("scale") == set(SCALES)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("forward", "sте", "quant.forward: unknown value"),
        ("regularizer", "msq", "Did you mean 'msqe'"),
        ("strength", -1.0, "quant.strength: must be 0.0 to 1000000.0, got -1"),
        ("strength", float("nan"), "quant.strength: must be finite"),
        ("freeze_start", 1.5, "quant.freeze_start: must be 0.0 to 1.0"),
        ("warmup", 1.0, "quant.warmup"),
        ("reestimate", -1, "quant.reestimate: .* rows, got -1"),
    ],
)
def test_wrong_values_are_refused_by_key(field, value, says):
    with pytest.raises(ConfigError, match=says):
        validate(MethodConfig(**{field: value}), "quant")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"warmup": 0.1}, r"quant\.warmup: '0\.1' needs quant\.forward other than float"),
        ({"forward": "dorefa", "freeze": "all"}, r"quant\.forward: 'dorefa' needs quant\.regularizer=none, not hq"),
        ({"forward": "dorefa", "regularizer": "none"}, r"needs quant\.freeze none or all, not progressive"),
        ({"scale": "learned"}, r"quant\.scale: 'learned' needs quant\.forward=ste_clip, not float"),
        ({"clip": True}, r"quant\.clip: 'true' needs quant\.scale none, pow2 or learned, not tensor"),
        ({"regularizer": "none", "schedule": "paced"}, r"quant\.schedule: 'paced' needs a quant\.regularizer"),
        ({"schedule": "learned"}, r"quant\.schedule: 'learned' needs quant\.regularizer=msqe, not hq"),
    ],
)
def test_compositions_that_mean_nothing_are_refused_by_key(fields, says):
    with pytest.raises(ConfigError, match=says):
        validate(MethodConfig(**fields), "quant")
