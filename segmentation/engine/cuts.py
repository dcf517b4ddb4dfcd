"""Percentile cuts: exact order statistics of a metric among the customers who have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import duckdb
import numpy as np

from segmentation.domain.definitions import Catalog

from .plan.formulas import Shape
from .plan.metrics import denominator, numerator

Cuts = dict[str, list[tuple[int, int]]]


@dataclass(frozen=True, slots=True)
class FrozenCuts:
    """The exact cuts, and for each a mark that parts the run's present values where the cut does.

    Cut and value can have so many digits that their products don't fit 38; marks have few.
    """

    exact: Cuts
    marks: Cuts


@dataclass(frozen=True, slots=True)
class _Cut:
    """A present value; every smaller one is at most `below`, which is less than `value`."""

    value: Fraction
    below: Fraction

    def mark(self) -> Fraction:
        return simplest(self.below, self.value)


def frozen_cuts(
    duck: duckdb.DuckDBPyConnection, catalog: Catalog, shapes: dict[str, Shape]
) -> FrozenCuts:
    """The percentile cuts of every layering that has some, from the table `metrics`.

    A cut is the value of rank floor(p/100 x n) + 1 (at most n) among the n present values in
    rising order, as an exact numerator and denominator. Without any value the cuts are 0; there
    is nobody to place.
    """
    exact: Cuts = {}
    marks: Cuts = {}
    for layering in catalog.layerings.values():
        if layering.percentiles:
            shape = shapes[layering.metric]
            found = (
                _of_fractions(duck, layering.metric, layering.percentiles)
                if shape.is_fraction
                else _of_integers(duck, layering.metric, layering.percentiles)
            )
            exact[layering.key] = [_pair(cut.value / shape.scale) for cut in found]
            marks[layering.key] = [_pair(cut.mark() / shape.scale) for cut in found]
    return FrozenCuts(exact, marks)


def simplest(above: Fraction, up_to: Fraction) -> Fraction:
    """The fraction with the smallest denominator in `above < x <= up_to`, near 0 when whole."""
    first, last = floor(above) + 1, floor(up_to)
    if first <= last:
        return Fraction(min(max(first, 0), last))
    return _between(above, up_to, has_low=False)


def _between(low: Fraction, high: Fraction, *, has_low: bool) -> Fraction:
    """The same from `low` (if `has_low`) to `high` (if not), by continued fractions."""
    whole = floor(low)
    first = whole if has_low and low == whole else whole + 1
    if first < high or (first == high and not has_low):
        return Fraction(first)
    if low == whole:
        return whole + Fraction(1, ceil(1 / (high - whole)))
    return whole + 1 / _between(1 / (high - whole), 1 / (low - whole), has_low=not has_low)


def _pair(value: Fraction) -> tuple[int, int]:
    return value.numerator, value.denominator


def _ranks(count: int, percentiles: Sequence[Decimal]) -> list[int]:
    """Zero-based positions."""
    return [min(floor(Fraction(p) / 100 * count), count - 1) for p in percentiles]


def _of_integers(
    duck: duckdb.DuckDBPyConnection, metric: str, percentiles: Sequence[Decimal]
) -> list[_Cut]:
    column = _quoted(numerator(metric))
    count = _scalar(duck, f"SELECT count({column}) FROM metrics")
    if not count:
        return [_Cut(Fraction(0), Fraction(-1))] * len(percentiles)
    ranks = _ranks(count, percentiles)
    rows = duck.execute(
        f"SELECT position, value::VARCHAR FROM (SELECT {column} AS value,"
        f" row_number() OVER (ORDER BY {column}) - 1 AS position FROM metrics"
        f" WHERE {column} IS NOT NULL) WHERE position IN ({', '.join(map(str, set(ranks)))})"
    ).fetchall()
    values = {position: Fraction(text) for position, text in rows}
    return [_Cut(values[rank], values[rank] - 1) for rank in ranks]


def _of_fractions(
    duck: duckdb.DuckDBPyConnection, metric: str, percentiles: Sequence[Decimal]
) -> list[_Cut]:
    """Floats find the neighbourhood of each rank; the fractions in it are sorted exactly, in
    lowest terms: half of all customers may have the same share of different sums."""
    top, below = _quoted(numerator(metric)), _quoted(denominator(metric))
    near = f"({top}::DOUBLE / {below}::DOUBLE)"
    known = duck.execute(
        f"SELECT {near} AS near FROM metrics WHERE {below} IS NOT NULL"
    ).fetchnumpy()["near"]
    count = len(known)
    if not count:
        return [_Cut(Fraction(0), Fraction(-1))] * len(percentiles)
    ranks = _ranks(count, percentiles)
    ordered = np.partition(np.asarray(known, dtype=np.float64), sorted(set(ranks)))
    parts = f"{top}::HUGEINT AS n, {below}::HUGEINT AS d"
    found = []
    for rank in ranks:
        # A float of two exact integers is off by some 1e-16; the margin is 10,000 times that.
        margin = abs(ordered[rank]) * 1e-12 + 1e-300
        low, high = float(ordered[rank] - margin), float(ordered[rank] + margin)
        before = int((known < low).sum())
        rows = duck.execute(
            "SELECT (n // gcd(n, d))::VARCHAR, (d // gcd(n, d))::VARCHAR, count(*)"
            f" FROM (SELECT {parts} FROM metrics"
            f" WHERE {below} IS NOT NULL AND {near} >= ? AND {near} <= ?) GROUP BY ALL",
            [low, high],
        ).fetchall()
        # Whatever is smaller than the neighbourhood is smaller than its first half.
        smaller = Fraction(float(ordered[rank] - margin / 2))
        for value, times in sorted((Fraction(int(n), int(d)), times) for n, d, times in rows):
            before += times
            if rank < before:
                found.append(_Cut(value, smaller))
                break
            smaller = max(smaller, value)
    return found


def _scalar(duck: duckdb.DuckDBPyConnection, sql: str) -> int:
    # fetchone would leave the result unfinished, which this connection does not forgive.
    return int(duck.execute(sql).fetchall()[0][0])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
