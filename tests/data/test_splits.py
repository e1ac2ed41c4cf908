from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitq.core.errors import DataError
from bitq.data.splits import balanced_weights, check_disjoint, deal_subjects, even_quota, stratified_subset


@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.integers(0, 50), min_size=5, max_size=40))
def test_dealing_is_a_partition_that_ignores_order(events: dict[str, int]) -> None:
    dealt = deal_subjects(events)
    assert dealt == deal_subjects(dict(reversed(events.items())))
    assert set(dealt) == set(events)
    sizes = [list(dealt.values()).count(part) for part in ("train", "val", "test")]
    assert abs(sizes[0] - 0.6 * len(events)) <= 1.2
    assert min(sizes) >= len(events) // 5


def test_dealing_follows_the_documented_rule() -> None:
    dealt = deal_subjects({"a": 1, "b": 9, "c": 5, "d": 5, "e": 0, "f": 0})
    assert dealt == {"b": "train", "c": "val", "d": "test", "a": "train", "e": "train", "f": "train"}


def test_a_person_in_two_splits_is_refused() -> None:
    check_disjoint({"train": ["a", "a", "b"], "test": ["c"]})
    with pytest.raises(DataError, match="leak: subject b is in both train and test"):
        check_disjoint({"train": ["a", "b"], "test": ["b"]})


@given(st.lists(st.integers(0, 4), min_size=30, max_size=300), st.integers(10, 300), st.integers(0, 9))
def test_subset_keeps_shares(labels: list[int], limit: int, seed: int) -> None:
    y = np.array(labels)
    kept = stratified_subset(y, limit, seed)
    assert len(set(kept.tolist())) == len(kept) == min(limit, len(y))
    expected = np.bincount(y, minlength=5) * len(kept) / len(y)
    assert np.abs(np.bincount(y[kept], minlength=5) - expected).max() <= 1


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=6), st.integers(0, 3000))
def test_quota_uses_all_and_is_even(available: list[int], total: int) -> None:
    quota = even_quota(available, total)
    assert sum(quota) == min(total, sum(available))
    assert all(0 <= share <= most for share, most in zip(quota, available, strict=True))
    unlimited = [share for share, most in zip(quota, available, strict=True) if share < most]
    assert not unlimited or max(quota) - min(unlimited) <= 1


def test_weights_make_classes_weigh_the_same() -> None:
    y = np.array([0] * 90 + [1] * 10)
    weights = np.array(balanced_weights(y, 2))
    np.testing.assert_allclose(weights * np.bincount(y), 50)
