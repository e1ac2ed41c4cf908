import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.core.errors import BitqError
from bitq.track.names import MAX_NAME, MAX_TEXT, artifact, legal, shortened


@given(st.text(max_size=400))
def test_any_text_becomes_a_name_that_mlflow_takes(text):
    from mlflow.utils.validation import _validate_metric_name

    name = legal(text)
    _validate_metric_name(name)
    assert 0 < len(name) <= MAX_NAME


@given(st.text(max_size=30), st.text(max_size=30))
def test_different_names_stay_different(one, two):
    assert (legal(one) == legal(two)) == (one == two)


@pytest.mark.parametrize("name", ["train/loss", "weights/fc1.weight/flips", "cortex-m0plus/flash_bytes"])
def test_good_names_stay_as_they_are(name):
    assert legal(name) == name


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_artifacts_stay_inside(name):
    with pytest.raises(BitqError, match="outside"):
        artifact("c", name)


@given(st.text(alphabet="ab\n", max_size=3 * MAX_TEXT // 100).map(lambda text: text * 100))
def test_shortened_text_fits_and_is_a_beginning(text):
    short = shortened(text)
    assert len(short) <= MAX_TEXT + 1
    assert text.startswith(re.sub("…$", "", short))
