from hypothesis import given
from hypothesis import strategies as st

from bitq.codegen.ops.joint import _pair_lines, _paired, _Row

SETS, SUMS = 4, 3


def executed(lines, values):
    """Return what the printed lines leave in the totals."""
    known = dict(values)
    for line in lines:
        to, _, what = line.rstrip(";").partition(" = ")
        for name in ("bitq_plus", "bitq_minus"):
            if what.startswith(name):
                left, right = what[len(name) + 1 : -1].split(", ")
                known[to] = known[left] + (1 if name == "bitq_plus" else -1) * known[right]
                break
        else:
            known[to] = -known[what[5:]] if what.startswith("0u - ") else known[what]
    return {to: value for to, value in known.items() if to.startswith("totals")}


@st.composite
def rows(draw):
    """Rows that take one sum of each set, or of some sets, with a sign."""
    found = []
    for number in range(draw(st.integers(1, 12))):
        sets = draw(st.sets(st.integers(0, SETS - 1), min_size=1))
        signs = {f"t{k}[{draw(st.integers(0, SUMS - 1))}]": draw(st.sampled_from((-1, 1))) for k in sorted(sets)}
        found.append(_Row(f"totals[{number}]", signs))
    return found


@given(rows())
def test_rows_that_share_sums_get_what_each_alone_would_get(given_rows):
    values = {f"t{k}[{i}]": 17 ** (SUMS * k + i) for k in range(SETS) for i in range(SUMS)}
    pairs = _paired(given_rows)
    lines = [line for pair in pairs for line in _pair_lines(pair)]
    expected = {row.to: sum(sign * values[name] for name, sign in row.signs.items()) for row in given_rows}
    assert executed(lines, values) == expected
    alone = sum(len(row.signs) for row in given_rows)
    assert sum("[" in line.partition(" = ")[2] for line in lines) == alone - sum(
        len(names) for pair in pairs for names in pair.shared
    )


def test_the_rows_that_share_most_are_together():
    a = _Row("totals[0]", {"t0[0]": 1, "t1[0]": -1, "t2[0]": 1})
    b = _Row("totals[1]", {"t0[0]": -1, "t1[1]": 1, "t2[1]": 1})
    c = _Row("totals[2]", {"t0[0]": -1, "t1[0]": 1, "t2[1]": 1})
    assert [{row.to for row in pair.rows} for pair in _paired([a, b, c])] == [{a.to, c.to}, {b.to}]
