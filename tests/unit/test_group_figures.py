"""Figures of groups: exact, rounded half-up, and suppressed where they say too much."""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.analysis.group_figures import (
    bucket_counts,
    class_counts,
    edges_of,
    mean_value,
    rounded,
    share_of,
    summary,
    tgi,
)
from segmentation.analysis.percentile_ranks import below_and_ties, percentile_rank
from segmentation.analysis.suppression import MINIMUM, hidden_parts, is_hidden_share


@pytest.mark.parametrize(
    ("part", "whole", "base_part", "base_whole", "expected"),
    [
        (50, 100, 25, 100, 200),
        (1, 3, 1, 3, 100),
        (1, 8, 1, 1, 13),  # 12.5 rounds up
        (0, 10, 5, 10, 0),
        (0, 0, 5, 10, None),
        (0, 10, 0, 10, None),
    ],
)
def test_tgi(part: int, whole: int, base_part: int, base_whole: int, expected: int | None) -> None:
    assert tgi(part, whole, base_part, base_whole) == expected


@given(st.fractions(), st.integers(0, 6))
def test_rounding_is_half_up_away_from_zero(value: Fraction, decimals: int) -> None:
    found = Fraction(rounded(value, decimals))
    step = Fraction(1, 10**decimals)
    assert (found / step).denominator == 1
    assert abs(found - value) <= step / 2
    if abs(found - value) == step / 2:
        assert abs(found) > abs(value)


@given(st.lists(st.integers(-(10**12), 10**12), min_size=1, max_size=60))
def test_summary_is_exact(values: list[int]) -> None:
    found = summary(np.array(values, dtype=np.int64), None)
    assert (found.count, found.total) == (len(values), sum(values))
    rising = sorted(values)
    for percentile, value in found.at.items():
        assert value == rising[min(len(values) * percentile // 100, len(values) - 1)]
    edges = edges_of(found)
    counts = bucket_counts(np.array(values, dtype=np.int64), None, edges)
    assert sum(counts) == len(values)
    ends = [-(10**13), *edges, 10**13]
    for low, high, count in zip(ends, ends[1:], counts, strict=False):
        assert count == sum(low <= value < high for value in values)


def test_sums_beyond_64_bits() -> None:
    values = np.full(1_000, 2**62, dtype=np.int64)
    found = summary(values, None)
    assert found.total == 1_000 * 2**62
    assert mean_value(found, 2, shown=2) == Decimal(2**62).scaleb(-2)


def test_missing_values_play_no_part() -> None:
    units = np.array([1, 127, 3, 127], dtype=np.int8)
    known = units != 127
    found = summary(units, known)
    assert (found.count, found.total, found.at[50]) == (2, 4, 3)
    assert bucket_counts(units, known, [2]) == [1, 1]
    nothing = summary(units, np.zeros(4, bool))
    assert (nothing.count, mean_value(nothing, 0, shown=2), edges_of(nothing)) == (0, None, ())
    assert class_counts(np.array([0, 1, -1, 1], dtype=np.int8), 3) == [1, 2, 0]
    assert share_of(1, 3) == Decimal("0.3333")
    assert share_of(0, 0) is None


def test_percentile_counts_ties_half() -> None:
    order = np.array([1, 2, 2, 3, 127], dtype=np.int8)  # 127: missing
    found = []
    for at in range(4):
        below, ties = below_and_ties(order, at)
        found.append(percentile_rank(int(below.sum()), int(ties.sum()), 4))
    assert found == [Decimal("0.1250"), Decimal("0.5000"), Decimal("0.5000"), Decimal("0.8750")]
    assert percentile_rank(0, 0, 0) is None


@given(st.lists(st.integers(0, 200), max_size=12))
def test_hidden_parts_can_not_be_found(counts: list[int]) -> None:
    """Either nothing is hidden, or at least two parts of together at least 30 people, or all."""
    hidden = hidden_parts(counts)
    assert all(hides for count, hides in zip(counts, hidden, strict=True) if count < MINIMUM)
    concealed = [count for count, hides in zip(counts, hidden, strict=True) if hides]
    shown = [count for count, hides in zip(counts, hidden, strict=True) if not hides]
    if concealed and shown:
        assert len(concealed) >= 2
        assert sum(concealed) >= MINIMUM
    if not any(count < MINIMUM for count in counts):
        assert not concealed


def test_no_more_is_hidden_than_needed() -> None:
    assert hidden_parts([500, 20, 80, 40]) == [False, True, False, True]
    assert hidden_parts([500, 20, 15, 40]) == [False, True, True, False]
    assert hidden_parts([500, 20, 5, 40]) == [False, True, True, True]
    assert hidden_parts([29]) == [True]
    assert hidden_parts([30, 30]) == [False, False]
    assert hidden_parts([]) == []


@pytest.mark.parametrize(
    ("count", "whole", "expected"),
    [(29, 100, True), (30, 100, False), (71, 100, True), (70, 100, False), (100, 100, False),
     (0, 100, True)],
)  # fmt: skip
def test_overlapping_shares(count: int, whole: int, expected: bool) -> None:
    assert is_hidden_share(count, whole) is expected


def test_order_of_values_does_not_matter() -> None:
    """S18: ties and positions play no part."""
    values = [random.Random(1).randrange(50) for _ in range(500)]
    mixed = random.Random(2).sample(values, len(values))
    assert summary(np.array(values), None) == summary(np.array(mixed), None)
