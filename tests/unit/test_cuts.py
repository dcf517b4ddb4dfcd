"""Percentile cuts: the fraction that parts values where the cut does, and many equal shares."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import count
from math import floor

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from segmentation.domain.evaluate import percentile_cuts
from segmentation.engine.backend import open_duckdb
from segmentation.engine.cuts import _of_fractions, simplest

small = st.builds(Fraction, st.integers(-60, 60), st.integers(1, 40))
gaps = st.builds(Fraction, st.integers(1, 60), st.integers(1, 400))


@given(low=small, gap=gaps)
def test_the_simplest_fraction_of_a_stretch(low: Fraction, gap: Fraction) -> None:
    found = simplest(low, low + gap)
    assert low < found <= low + gap
    fewest = next(d for d in count(1) if floor((low + gap) * d) > floor(low * d))
    assert found.denominator == fewest


def test_ends_of_forty_digits_need_no_deep_recursion() -> None:
    low = Fraction(10**40 + 1, 3 * 10**39 + 7)
    assert simplest(low, low + 1) == 4
    near = simplest(low, low + Fraction(1, 10**78))
    assert low < near <= low + Fraction(1, 10**78)


def test_cuts_of_shares_that_are_equal_over_different_sums() -> None:
    """Lowest terms in the backend: a cut at a share that thousands have reads one row of it."""
    whole = np.arange(1, 3_001, dtype=np.int64) * 3
    part = np.where(whole % 2 == 0, 0, whole // 3)
    values = [Fraction(int(n), int(d)) for n, d in zip(part, whole, strict=True)]
    percentiles = [Decimal(20), Decimal("49.99"), Decimal(50), Decimal(100)]
    with open_duckdb() as duck:
        duck.register("metrics", pa.table({"m:x": part, "d:x": whole}))
        found = _of_fractions(duck, "x", percentiles)
    assert tuple(cut.value for cut in found) == percentile_cuts(values, percentiles)
    assert [cut.value for cut in found] == [0, 0, Fraction(1, 3), Fraction(1, 3)]
    for cut in found:
        assert all(value <= cut.below for value in values if value < cut.value)
        assert cut.below < cut.value
