import pytest

from bitq.core.errors import ConfigError
from bitq.core.fields import validate
from bitq.train.config import TrainConfig


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("epochs", -1, "train.epochs: must be 0 to 100000, got -1"),
        ("batch", 1, "train.batch: must be 2 to 1000000 rows, got 1"),
        ("lr", 0.0, "train.lr: must be 1e-09 to 10.0"),
        ("lr", float("inf"), "train.lr: must be finite"),
        ("schedule", "cosin", "Did you mean 'cosine'"),
        ("eval_rows", 0, "train.eval_rows"),
    ],
)
def test_wrong_values_are_refused_by_key(field, value, says):
    with pytest.raises(ConfigError, match=says):
        validate(TrainConfig(**{field: value}), "train")
