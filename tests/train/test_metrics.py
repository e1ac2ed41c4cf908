import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from bitq.core.metrics import ERRORS
from bitq.data.config import TASK_METRICS, ArraysConfig
from bitq.train.metrics import METRICS

labels = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


@given(labels)
@pytest.mark.filterwarnings("ignore:y_pred contains classes")
@pytest.mark.filterwarnings("ignore:A single label was found")
def test_they_equal_those_of_scikit_learn(pairs):
    truth, predicted = np.array(pairs).T
    assert METRICS["accuracy"](truth, predicted) == pytest.approx(accuracy_score(truth, predicted))
    expected = balanced_accuracy_score(truth, predicted)
    assert METRICS["balanced_accuracy"](truth, predicted) == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.integers(-4, 4)), min_size=2, max_size=40))
def test_the_area_under_the_curve_is_that_of_scikit_learn(pairs):
    truth, scores = np.array(pairs).T
    assume(0 < truth.sum() < len(truth))
    assert METRICS["auc"](truth, scores / 3) == pytest.approx(roc_auc_score(truth, scores))


def test_the_mean_absolute_error_is_over_all_targets():
    truth = np.array([[1.0, 2.0], [3.0, 4.0]], np.float32)
    assert METRICS["mae"](truth, np.array([[1.5, 2.0], [2.0, 6.0]])) == pytest.approx((0.5 + 0 + 1 + 2) / 4)


def test_every_metric_that_data_can_ask_for_is_there():
    assert set(ArraysConfig.__dataclass_fields__["metric"].metadata["options"]) == {"auto", *METRICS}
    assert {name for names in TASK_METRICS.values() for name in names} == set(METRICS)
    assert set(METRICS) >= ERRORS
