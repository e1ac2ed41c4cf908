import numpy as np
import pytest

from bitq.data.config import TASK_METRICS
from bitq.trees.config import KINDS
from bitq.trees.learners import LEARNERS, path_length


def test_every_kind_is_trained_somehow():
    assert {task: tuple(kinds) for task, kinds in LEARNERS.items()} == KINDS
    assert set(KINDS) == set(TASK_METRICS)


def test_the_usual_length_of_a_path():
    # The figure of the paper for 256 rows, where it stands for an exact sum.
    harmonic = sum(1 / i for i in range(1, 256))
    assert path_length(256) == pytest.approx(2 * harmonic - 2 * 255 / 256, abs=0.01)
    assert path_length([0, 1, 2, 3]).tolist() == pytest.approx([0, 0, 1, 2 * np.log(2) + 2 * np.euler_gamma - 4 / 3])
