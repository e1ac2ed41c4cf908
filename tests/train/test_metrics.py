import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from bitq.data.config import ArraysConfig
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


def test_every_metric_that_data_can_ask_for_is_there():
    assert set(ArraysConfig.__dataclass_fields__["metric"].metadata["options"]) == set(METRICS)
