import numpy as np
import pytest

from bitq.track import figures

SEEDS = {"float": [0.97, 0.98], "binary": [0.95, 0.91], "one": [0.9]}
HISTORY = [[{"val": e / 20 + s / 50, "flips": 0.1 / (e + 1)} for e in range(20)] for s in range(3)]
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
    "confusion": lambda path: figures.confusion(path, np.array([[9, 1], [0, 0]]), ["other", "face to wake"]),
}


@pytest.mark.parametrize("name", DRAW)
def test_a_figure_is_written_whole_with_something_in_it(tmp_path, name):
    import matplotlib.image

    path = DRAW[name](tmp_path / "new" / f"{name}.png")
    pixels = matplotlib.image.imread(path)
    height, width, _ = pixels.shape
    assert height > 200
    assert width > 400
    ink = (pixels[..., :3].min(axis=2) < 0.9).mean()
    assert 0.005 < ink < 0.7
    frame = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert frame[:, :3].min() > 0.99  # nothing is cut off at the edge
    assert [other.name for other in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("form", ["png", "svg"])
def test_equal_values_give_equal_bytes(tmp_path, form):
    one, two = (DRAW["curves"](tmp_path / f"{name}.{form}") for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_more_variants_than_colours_are_all_drawn(tmp_path):
    many = {f"v{number}": [number / 40] for number in range(30)}
    text = figures.accuracy(tmp_path / "many.svg", many).read_text()
    assert text.count("<!-- v") == 30
