import pytest

from bitq.track import search_figures
from bitq.track.search_figures import Point

POINTS = [Point(100, 0.8, "1 bit", leads=True), Point(200, 0.79, "", leads=False), Point(400, 0.9, "", leads=True)]


@pytest.mark.parametrize("limit", [None, 300.0])
@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_the_same_search_gives_the_same_figures(tmp_path, suffix, limit):
    def draw(name):
        place = tmp_path / name
        return [
            search_figures.pareto(place / f"pareto.{suffix}", POINTS, "parameter_bytes", "accuracy", limit),
            search_figures.importances(place / f"importances.{suffix}", {"strength": 0.7, "conv": 0.3}),
            search_figures.bits(place / f"bits.{suffix}", {"trial 1": {"conv.weight": 1, "fc.weight": 8}}),
        ]

    for first, second in zip(draw("a"), draw("b"), strict=True):
        assert first.read_bytes() == second.read_bytes()
        assert first.stat().st_size > 3000


def test_the_names_of_the_obvious_and_the_matrices_are_in_the_figures(tmp_path):
    text = search_figures.pareto(tmp_path / "p.svg", POINTS, "flash_bytes", "accuracy").read_text()
    assert "<!-- 1 bit -->" in text
    assert "<!-- flash bytes -->" in text
    text = search_figures.bits(tmp_path / "b.svg", {"trial 4": {"conv1.weight": 2}}).read_text()
    assert "<!-- conv1 -->" in text
    assert "<!-- trial 4 -->" in text
