import numpy as np
import pytest

from bitq.track import answers
from tests.drawn import assert_drawn

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(5, 2, (50, 8))
LABELS = np.arange(50) % 5 // 4
DRAW = {
    "confusion": lambda path: answers.confusion(path, np.array([[9, 1], [0, 0]]), ["other", "face to wake"]),
    "one target": lambda path: answers.targets(path, TRUTH[:, :1], TRUTH[:, :1] + 0.1),
    "many targets": lambda path: answers.targets(path, TRUTH, TRUTH[::-1]),
    "scores": lambda path: answers.scores(path, LABELS + RNG.random(50), LABELS, ("normal", "anomaly")),
    "equal scores": lambda path: answers.scores(path, np.zeros(50), LABELS, ("normal", "anomaly")),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_written_whole_with_something_in_it(tmp_path, name):
    assert_drawn(DRAW[name](tmp_path / "new" / f"{name}.png"))


def test_targets_are_counted_and_their_error_is_said(tmp_path):
    text = answers.targets(tmp_path / "t.svg", TRUTH, TRUTH + 0.25).read_text()
    assert "<!-- target 5: mean absolute error 0.25 -->" in text
    assert "target 6" not in text


def test_rows_of_both_kinds_are_counted(tmp_path):
    text = answers.scores(tmp_path / "s.svg", LABELS.astype(float), LABELS, ("normal", "anomaly")).read_text()
    assert "<!-- normal (40) -->" in text
    assert "<!-- anomaly (10) -->" in text
