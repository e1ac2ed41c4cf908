from hypothesis import given
from hypothesis import strategies as st

from bitq.search.outcome import Outcome, Trial, front_of, key_of


def test_equal_parameters_have_equal_keys_in_any_order():
    assert key_of({"a": 1, "b": 2.0}) == key_of({"b": 2.0, "a": 1}) == Trial(3, {"a": 1, "b": 2.0}).key
    assert key_of({"a": 1}) != key_of({"a": 2})


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 2)), max_size=12))
def test_the_front_is_what_nothing_beats_and_beats_everything_else(points):
    outcomes = [
        Outcome(Trial(i, {}), "complete", (), value, {"parameter_bytes": size, "instructions": cost})
        for i, (value, size, cost) in enumerate(points)
    ]
    front = front_of(outcomes, ["parameter_bytes", "instructions"])

    def beats(a, b):
        one, two = (-a.value, *a.costs.values()), (-b.value, *b.costs.values())
        return one != two and all(x <= y for x, y in zip(one, two, strict=True))

    assert not any(beats(a, b) for a in front for b in front)
    same = {(o.value, *o.costs.values()) for o in front}
    for o in outcomes:
        assert (o.value, *o.costs.values()) in same or any(beats(a, o) for a in front)
    assert [o.costs["parameter_bytes"] for o in front] == sorted(o.costs["parameter_bytes"] for o in front)
