import numpy as np
import pytest

from bitq.track import figures
from tests.drawn import assert_drawn

SEEDS = {"float": [0.97, 0.98], "binary": [0.95, 0.91], "one": [0.9]}
HISTORY = [[{"val": e / 20 + s / 50, "flips": 0.1 / (e + 1)} for e in range(20)] for s in range(3)]
FALLING = [[{"val": 1 / (e + 1)} for e in range(20)]]
DRAW = {
    "accuracy": lambda path: figures.accuracy(path, SEEDS, "balanced_accuracy"),
    "sizes": lambda path: figures.sizes(path, SEEDS, {"binary": 520}, {"binary": 1234}),
    "no sizes": lambda path: figures.sizes(path, SEEDS, {}, {}),
    "compared": lambda path: figures.compared(
        path, {"1 bit": SEEDS, "2 bits": SEEDS | {"one": []}}, ("whole", [0.99])
    ),
    "curves": lambda path: figures.curves(path, {"binary": HISTORY, "empty": []}, "val", "validation"),
    "flips": lambda path: figures.curves(path, {"binary": HISTORY[:1]}, "flips", "flips", percent=False),
    "weights": lambda path: figures.weights(
        path, {"fc1": np.linspace(-1, 1, 99).reshape(9, 11), "zero": np.zeros((2, 2)), "nan": np.full(3, np.nan)}
    ),
    "evolution": lambda path: figures.evolution(path, {"fc1": np.eye(9, dtype=int), "none": np.zeros((2, 8))}, 1.6),
    "errors": lambda path: figures.curves(path, {"binary": FALLING}, "val", "validation error", percent=False),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_written_whole_with_something_in_it(tmp_path, name):
    assert_drawn(DRAW[name](tmp_path / "new" / f"{name}.png"))


def test_an_axis_says_what_it_counts_and_which_way_is_better(tmp_path):
    text = figures.accuracy(tmp_path / "a.svg", SEEDS, "mae").read_text()
    assert "<!-- mean absolute error on the test split (in units of the target, less is better) -->" in text
    assert "<!-- area under the ROC curve on the test split (%) -->" in (
        figures.accuracy(tmp_path / "b.svg", SEEDS, "auc").read_text()
    )


@pytest.mark.parametrize("form", ["png", "svg"])
def test_equal_values_give_equal_bytes(tmp_path, form):
    one, two = (DRAW["curves"](tmp_path / f"{name}.{form}") for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_more_variants_than_colours_are_all_drawn(tmp_path):
    many = {f"v{number}": [number / 40] for number in range(30)}
    text = figures.accuracy(tmp_path / "many.svg", many).read_text()
    assert text.count("<!-- v") == 30
