from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.plan import Request, plan


def assert_disjoint(requests):
    result = plan(requests)
    for request in requests:
        assert 0 <= result.offsets[request.name] <= result.size - request.size
        for other in requests:
            if other.name != request.name and request.meets(other):
                a, b = result.offsets[request.name], result.offsets[other.name]
                assert a + request.size <= b or b + other.size <= a
    return result


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 6), st.integers(0, 4)), max_size=8))
def test_buffers_alive_together_never_overlap(drawn):
    assert_disjoint([Request(str(i), size, first, first + more) for i, (size, first, more) in enumerate(drawn)])


@given(st.lists(st.tuples(st.integers(1, 500), st.integers(0, 60)), min_size=1, max_size=9))
def test_a_chain_takes_what_its_largest_step_needs(sizes):
    requests, needed = [], 0
    for step, (size, scratch) in enumerate(sizes):
        requests.append(Request(f"v{step}", size, step, step + 1))
        if scratch:
            requests.append(Request(f"s{step}", scratch, step, step))
        needed = max(needed, size + scratch + (sizes[step - 1][0] if step else 0))
    assert assert_disjoint(requests).size == needed


def test_nothing_takes_nothing():
    assert plan([]).size == 0
