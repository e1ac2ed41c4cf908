import numpy as np
import pytest

from bitq.core.errors import ConfigError
from bitq.ir.types import INT8, INT16, TensorType
from bitq.train.metrics import accuracy
from bitq.trees.config import KINDS, ForestConfig
from bitq.trees.fit import Table, fit

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)


def table(rows, classes=3, features=10, dtype=INT8, seed=0):
    """Return rows whose class is the sum of two features in steps, with noise beside."""
    rng = np.random.default_rng(seed)
    x = rng.integers(dtype.low, dtype.high + 1, (rows, features)).astype(dtype.array)
    share = (x[:, 1].astype(float) + x[:, 4] - 2 * dtype.low) / (2 * (dtype.high - dtype.low))
    return Table(x, np.minimum((share * classes).astype(np.int64), classes - 1), (1.0,) * classes)


def grown(kind, config=None, classes=3, dtype=INT8, features=10, seed=0):
    source = ("input", TensorType((features,), dtype, 1.0))
    data = [table(300, classes, features, dtype, part) for part in (0, 1)]
    return fit(config or ForestConfig(budget_bytes=400, max_depth=5), kind, *data, source, seed, accuracy)


@EVERY_KIND
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("dtype", [INT8, INT16], ids=lambda dtype: dtype.name)
def test_the_operation_decides_as_what_was_trained(kind, classes, dtype):
    trees = grown(kind, ForestConfig(budget_bytes=400, max_depth=4, leaf_bits=16), classes, dtype)
    x = table(500, classes, 10, dtype, seed=2).x
    scores = trees.forest.evaluate([x.astype(np.int64)], [])
    if kind == "forest":
        coarse = trees.lattice.coarse(x.astype(np.int64)).astype(np.float32)
        votes = np.stack([e.predict(coarse) for e in trees.model.estimators_]).astype(int)
        expected = np.stack([(votes == c).sum(axis=0) for c in range(classes)], axis=1)
        assert np.array_equal(scores, expected)
    else:
        # Leaves of 16 bits round nothing that matters but ties.
        assert (scores.argmax(axis=1) == trees.before(x)).mean() > 0.99


@EVERY_KIND
@pytest.mark.parametrize("budget", [60, 300, 1500])
def test_the_budget_is_kept_and_used(kind, budget):
    trees = grown(kind, ForestConfig(budget_bytes=budget))
    assert trees.forest.packed_bytes <= budget
    if kind != "tree":
        assert trees.forest.packed_bytes > budget / 2 or len(trees.forest.leaves) > 90


@EVERY_KIND
def test_it_learns_and_repeats_itself(kind):
    first, again = grown(kind), grown(kind)
    assert first.validation > 0.75
    assert np.array_equal(first.forest.thresholds, again.forest.thresholds)
    assert np.array_equal(first.forest.leaves, again.forest.leaves)


def test_the_best_on_validation_is_taken_and_the_smaller_on_ties():
    seen = []
    source = ("input", TensorType((10,), INT8, 1.0))
    config = ForestConfig(max_depth=6)
    best = fit(config, "tree", table(300), table(300, seed=1), source, 0, accuracy, lambda *told: seen.append(told))
    assert [told[:2] for told in seen] == [(number, 6) for number in range(1, 7)]
    assert best.validation == seen[-1][2]
    equal = fit(config, "tree", table(300), table(300, seed=1), source, 0, lambda truth, predicted: 0.5)
    assert equal.forest.depth == 1


def test_a_budget_for_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"model\.budget_bytes: 17 bytes hold no boosting for 3 classes"):
        grown("boosting", ForestConfig(budget_bytes=17, leaf_bits=16))


@EVERY_KIND
def test_many_features_still_name_themselves(kind):
    trees = grown(kind, features=300)
    assert trees.lattice.bits == 1
    assert trees.lattice.holds(trees.forest.features.astype(int), trees.forest.thresholds.astype(int)).all()
