from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.plan import Request, Stage, plan


def simple(name, size, first, last):
    return Request(name, (Stage(size, first, last),))


def assert_disjoint(requests):
    result = plan(requests)
    for request in requests:
        assert 0 <= result.offsets[request.name] <= result.size - request.size
        for other in requests:
            a, b = result.offsets[request.name], result.offsets[other.name]
            for mine in request.stages:
                for theirs in other.stages:
                    if other.name != request.name and mine.meets(theirs):
                        assert a + mine.size <= b or b + theirs.size <= a
    return result


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 6), st.integers(0, 4)), max_size=8))
def test_buffers_alive_together_never_overlap(drawn):
    assert_disjoint([simple(str(i), size, first, first + more) for i, (size, first, more) in enumerate(drawn)])


@given(st.lists(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 3)), min_size=1, max_size=3), max_size=6))
def test_buffers_that_change_their_size_never_overlap(drawn):
    requests = []
    for number, sizes in enumerate(drawn):
        step, stages = number % 3, []
        for size, more in sizes:
            stages.append(Stage(size, step, step + more))
            step += more
        requests.append(Request(str(number), tuple(stages)))
    assert_disjoint(requests)


def test_a_value_in_place_frees_what_it_does_not_take():
    shrinking = Request("in place", (Stage(100, 0, 1), Stage(40, 1, 2)))
    assert assert_disjoint([shrinking, simple("scratch", 60, 2, 2)]).size == 100


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 60)), min_size=1, max_size=9))
def test_a_chain_takes_what_its_largest_step_needs(sizes):
    requests, needed = [], 0
    for step, (size, scratch) in enumerate(sizes):
        requests.append(simple(f"v{step}", size, step, step + 1))
        if scratch:
            requests.append(simple(f"s{step}", scratch, step, step))
        needed = max(needed, size + scratch + (sizes[step - 1][0] if step else 0))
    assert assert_disjoint(requests).size == needed


def test_nothing_takes_nothing():
    assert plan([]).size == 0
