import numpy as np
import pytest

from bitq.core.errors import ConfigError
from bitq.ir.types import INT8, INT16, TensorType
from bitq.train.metrics import accuracy, auc
from bitq.trees.config import KINDS, ForestConfig
from bitq.trees.fit import Table, fit

EVERY_KIND = pytest.mark.parametrize("kind", KINDS["classification"])


def table(rows, classes=3, features=10, dtype=INT8, seed=0):
    """Return rows whose class is the sum of two features in steps, with noise beside."""
    rng = np.random.default_rng(seed)
    x = rng.integers(dtype.low, dtype.high + 1, (rows, features)).astype(dtype.array)
    share = (x[:, 1].astype(float) + x[:, 4] - 2 * dtype.low) / (2 * (dtype.high - dtype.low))
    return Table(x, np.minimum((share * classes).astype(np.int64), classes - 1), (1.0,) * classes)


def answers(trees, x):
    """Return what the scores of the operation stand for."""
    scores = trees.forest.evaluate([x.astype(np.int64)], [])
    return (scores - trees.forest.out.zero_point) * trees.forest.out.scale


def half_steps(trees):
    """Return how far rounding one value per tree, and the zero point, may move an answer."""
    return (len(trees.forest.leaves) + 1.001) / 2 * trees.forest.out.scale


def grown(kind, config=None, classes=3, dtype=INT8, features=10, seed=0):
    source = ("input", TensorType((features,), dtype, 1.0))
    data = [table(300, classes, features, dtype, part) for part in (0, 1)]
    config = config or ForestConfig(budget_bytes=400, max_depth=5)
    return fit(config, "classification", kind, *data, source, seed, accuracy)


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
    assert first.merit > 0.75
    assert np.array_equal(first.forest.thresholds, again.forest.thresholds)
    assert np.array_equal(first.forest.leaves, again.forest.leaves)


def test_the_best_on_validation_is_taken_and_the_smaller_on_ties():
    seen, merits = [], []

    def merit(truth, said):
        merits.append(accuracy(truth, said))
        return merits[-1]

    data, source = (table(300), table(300, seed=1)), ("input", TensorType((10,), INT8, 1.0))
    learnt = (ForestConfig(max_depth=6), "classification", "tree", *data, source, 0)
    best = fit(*learnt, merit, on_candidate=lambda *told: seen.append(told))
    assert seen == [(number, 6) for number in range(1, 7)]
    assert best.merit == max(merits) == accuracy(data[1].y, answers(best, data[1].x).argmax(axis=1))
    assert fit(*learnt, lambda truth, said: 0.5).forest.depth == 1


def test_a_budget_for_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"model\.budget_bytes: 17 bytes hold no boosting for 3 classes"):
        grown("boosting", ForestConfig(budget_bytes=17, leaf_bits=16))


@EVERY_KIND
def test_many_features_still_name_themselves(kind):
    trees = grown(kind, features=300)
    assert trees.lattice.bits == 1
    assert trees.lattice.holds(trees.forest.features.astype(int), trees.forest.thresholds.astype(int)).all()


TYPES = pytest.mark.parametrize(("dtype", "features"), [(INT8, 10), (INT8, 300), (INT16, 10)])


def real(kind, y, dtype=INT8, features=10, **config):
    """Grow trees on a function of the first rows of a table."""
    x = table(400, features=features, dtype=dtype).x
    tables = [Table(x[part], y(x[part].astype(float))) for part in (slice(300), slice(300, None))]
    source = ("input", TensorType((features,), dtype, 1.0))
    config = ForestConfig(**{"budget_bytes": 300, "max_depth": 4, **config})
    return fit(config, "regression", kind, *tables, source, 0, lambda truth, said: -np.abs(truth - said).mean())


@TYPES
@pytest.mark.parametrize("kind", KINDS["regression"])
@pytest.mark.parametrize("leaf_bits", [8, 16])
def test_a_regression_is_what_was_trained_but_for_the_rounding_of_leaves(kind, dtype, features, leaf_bits):
    def target(x):
        return (1000 + 3 * x[:, 1] / dtype.high + np.sin(4 * x[:, 2] / dtype.high)).astype(np.float32)

    trees = real(kind, target, dtype, features, leaf_bits=leaf_bits)
    x = table(200, features=features, dtype=dtype, seed=5).x
    said, wanted = answers(trees, x)[:, 0], target(x.astype(float))
    assert np.abs(said - trees.before(x)).max() <= half_steps(trees)
    assert np.abs(said - wanted).mean() < 0.7 * np.abs(wanted - wanted.mean()).mean()
    assert trees.forest.packed_bytes <= 300


@pytest.mark.parametrize("kind", KINDS["regression"])
def test_a_target_that_does_not_vary_or_lies_far_from_0_is_kept(kind):
    x = table(50).x
    constant = real(kind, lambda x: np.full(len(x), 3.7, np.float32))
    np.testing.assert_allclose(answers(constant, x), 3.7, rtol=1e-6)
    nothing = real(kind, lambda x: np.zeros(len(x), np.float32))
    assert (answers(nothing, x) == 0).all()
    far = real(kind, lambda x: (1e7 + np.sign(x[:, 0])).astype(np.float32))
    assert abs(far.forest.out.zero_point) <= 2**30
    np.testing.assert_allclose(answers(far, x)[:, 0], far.before(x), atol=half_steps(far))


@TYPES
def test_isolation_gives_the_logarithm_of_the_score_of_an_isolation_forest(dtype, features):
    x = (table(400, features=features, dtype=dtype).x // 4).astype(dtype.array)
    x[300:] *= 3
    labels = (np.arange(400) >= 300).astype(np.int64)
    source = ("input", TensorType((features,), dtype, 1.0))
    tables = [Table(x[part], labels[part]) for part in (slice(200), slice(200, None))]
    config = ForestConfig(budget_bytes=600, max_depth=5, leaf_bits=16)
    trees = fit(config, "anomaly", "isolation", *tables, source, 0, auc)
    said = answers(trees, x)[:, 0]
    coarse = trees.lattice.coarse(x.astype(np.int64)).astype(np.float32)
    np.testing.assert_allclose(said, 1 + np.log2(-trees.model.score_samples(coarse)), atol=half_steps(trees))
    np.testing.assert_allclose(said, trees.before(x), atol=half_steps(trees))
    assert trees.merit == auc(labels[200:], said[200:]) > 0.75
