import numpy as np
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from bitq import export, from_trees, load
from bitq.codegen.ops.forest import packed_nodes
from bitq.core.errors import ConfigError
from bitq.ir.reference import evaluate
from bitq.ir.types import INT8, INT16

TYPES = pytest.mark.parametrize("dtype", [INT8, INT16], ids=lambda dtype: dtype.name)
CLASSES = pytest.mark.parametrize("classes", [2, 3])


def rows(dtype, seed=0, count=600):
    """Return features, some of them constant or of few values, and a noisy target."""
    rng = np.random.default_rng(seed)
    x = rng.integers(dtype.low, dtype.high + 1, (count, 12)).astype(dtype.array)
    x[:, 3], x[:, 5] = 7, x[:, 5] % 3
    return x, x[:, 0].astype(float) + x[:, 1] / 2 + rng.normal(0, dtype.high / 5, count)


def labels(y, classes):
    """Return classes of unequal size, named by their square."""
    return np.searchsorted(np.quantile(y, np.linspace(0, 1, classes + 1)[1:-1] ** 2), y) ** 2


def real(graph, x):
    scores, out = evaluate(graph, x).scores, graph.ops[0].out
    return (scores - out.zero_point) * out.scale


@TYPES
@CLASSES
@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeClassifier(max_depth=6),
        DecisionTreeClassifier(max_depth=1),
        RandomForestClassifier(12, max_depth=5),
        ExtraTreesClassifier(12, max_depth=5),
        GradientBoostingClassifier(n_estimators=15, max_depth=3),
        GradientBoostingClassifier(n_estimators=15, max_depth=3, init="zero"),
    ],
    ids=repr,
)
def test_classes_are_those_that_scikit_learn_says(model, classes, dtype):
    x, y = rows(dtype)
    y = labels(y, classes)
    model.set_params(random_state=0).fit(x, y)
    graph = from_trees(model, x)
    said = model.classes_[evaluate(graph, x).winners]
    # Leaves are rounded: what differs lies at a tie.
    assert (said == model.predict(x)).mean() > (1 if isinstance(model, DecisionTreeClassifier) else 0.995) - 1e-9
    assert graph.input.dtype is dtype
    if isinstance(model, GradientBoostingClassifier):
        expected = model.decision_function(x)
        found = real(graph, x)
        assert np.abs(found - (expected if classes > 2 else np.stack([0 * expected, expected], 1))).max() < 0.01


@TYPES
@pytest.mark.parametrize(
    "model",
    [
        DecisionTreeRegressor(max_depth=6),
        RandomForestRegressor(12, max_depth=5),
        ExtraTreesRegressor(12, max_depth=5),
        GradientBoostingRegressor(n_estimators=15, max_depth=3),
        GradientBoostingRegressor(n_estimators=15, max_depth=3, loss="huber"),
    ],
    ids=repr,
)
def test_targets_are_those_that_scikit_learn_says(model, dtype):
    x, y = rows(dtype)
    model.set_params(random_state=0).fit(x, y + 1000)
    difference = real(from_trees(model, x), x)[:, 0] - model.predict(x)
    assert np.abs(difference).max() < 2e-3 * np.ptp(y)


@TYPES
def test_scores_of_anomalies_are_those_that_scikit_learn_says(dtype):
    x, _ = rows(dtype)
    model = IsolationForest(n_estimators=20, max_samples=64, random_state=0).fit(x)
    assert real(from_trees(model, x), x)[:, 0] == pytest.approx(1 + np.log2(-model.score_samples(x)), abs=1e-3)


def test_trees_may_vote():
    x, y = rows(INT16)
    model = RandomForestClassifier(12, max_depth=5, random_state=0).fit(x, labels(y, 3))
    votes = np.stack([tree.predict(x) for tree in model.estimators_]).astype(int)
    graph = from_trees(model, x, votes=True)
    assert np.array_equal(evaluate(graph, x).scores, np.stack([(votes == c).sum(axis=0) for c in range(3)], axis=1))
    assert graph.ops[0].packed_bytes < from_trees(model, x, leaf_bits=8).ops[0].packed_bytes


@TYPES
def test_nodes_take_two_bytes_where_no_row_minds(dtype):
    x, y = rows(dtype, count=200)
    model = RandomForestClassifier(8, max_depth=4, random_state=0).fit(x[:, [0, 1, 2]], labels(y, 3))
    graph = from_trees(model, x[:, [0, 1, 2]], votes=True)
    assert packed_nodes(graph.ops[0], graph.input) is not None
    votes = np.stack([tree.predict(x[:, [0, 1, 2]]) for tree in model.estimators_]).astype(int)
    assert np.array_equal(evaluate(graph, x[:, [0, 1, 2]]).scores[:, 0], (votes == 0).sum(axis=0))


def test_the_c_says_the_same(tmp_path):
    x, y = rows(INT16)
    model = GradientBoostingClassifier(n_estimators=8, max_depth=3, random_state=0).fit(x, labels(y, 3))
    graph = from_trees(model, x, name="gesture")
    found, expected = load(export(graph, tmp_path / "deploy")).predict(x), evaluate(graph, x)
    assert np.array_equal(found.scores, expected.scores)
    assert np.array_equal(found.winners, expected.winners)


X, Y = rows(INT16, count=100)
TREE = DecisionTreeRegressor(max_depth=3).fit(X, Y)


@pytest.mark.parametrize(
    ("model", "given", "arguments", "message"),
    [
        (LinearRegression().fit(X, Y), X, {}, "a LinearRegression is not covered; use decision trees"),
        (
            HistGradientBoostingClassifier(),
            X,
            {},
            "a HistGradientBoostingClassifier is not covered; use .*GradientBoo",
        ),
        (DecisionTreeRegressor(), X, {}, "DecisionTreeRegressor is not fitted"),
        (TREE, X[:, :4], {}, r"fitted on \(n, 12\), got \(100, 4\)"),
        (TREE, X[:0], {}, r"got \(0, 12\)"),
        (TREE, X / 3, {}, "trees compare integers, got float64"),
        (TREE, X.astype(int) * 9, {}, "-32768 to 32767, got"),
        (TREE, X, {"votes": True}, "votes: only trees of a forest of classes"),
        (TREE, X, {"leaf_bits": 4}, "8 or 16 bits, got 4"),
        (DecisionTreeRegressor().fit(X, np.stack([Y, Y], 1)), X, {}, "2 targets; fit one for each"),
        (DecisionTreeRegressor(min_samples_leaf=1).fit(*rows(INT16, count=3000)), X, {}, "max_depth=10"),
        (IsolationForest(max_features=0.5).fit(X), X, {}, "leave it at 1.0"),
        (GradientBoostingRegressor(init=LinearRegression()).fit(X, Y), X, {}, "leave init out"),
    ],
)
def test_what_is_not_covered_is_refused_by_name(model, given, arguments, message):
    with pytest.raises(ConfigError, match=message):
        from_trees(model, given, **arguments)
