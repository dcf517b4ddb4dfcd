"""Percentile cuts: exact order statistics of a metric among the customers who have it."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import floor

import duckdb
import numpy as np

from segmentation.domain.definitions import Catalog

from .plan.formulas import Shape
from .plan.metrics import denominator, numerator

Cuts = dict[str, list[tuple[int, int]]]


def frozen_cuts(
    duck: duckdb.DuckDBPyConnection, catalog: Catalog, shapes: dict[str, Shape]
) -> Cuts:
    """The percentile cuts of every layering that has some, from the table `metrics`.

    A cut is the value of rank floor(p/100 x n) + 1 (at most n) among the n present values in
    rising order, as an exact numerator and denominator. Without any value the cuts are 0; there
    is nobody to place.
    """
    cuts: Cuts = {}
    for layering in catalog.layerings.values():
        if layering.percentiles:
            shape = shapes[layering.metric]
            found = (
                _of_fractions(duck, layering.metric, layering.percentiles)
                if shape.is_fraction
                else _of_integers(duck, layering.metric, layering.percentiles)
            )
            exact = [value / shape.scale for value in found]
            cuts[layering.key] = [(value.numerator, value.denominator) for value in exact]
    return cuts


def _ranks(count: int, percentiles: Sequence[Decimal]) -> list[int]:
    """Zero-based positions."""
    return [min(floor(Fraction(p) / 100 * count), count - 1) for p in percentiles]


def _of_integers(
    duck: duckdb.DuckDBPyConnection, metric: str, percentiles: Sequence[Decimal]
) -> list[Fraction]:
    column = _quoted(numerator(metric))
    count = _scalar(duck, f"SELECT count({column}) FROM metrics")
    if not count:
        return [Fraction(0)] * len(percentiles)
    ranks = _ranks(count, percentiles)
    rows = duck.execute(
        f"SELECT position, value::VARCHAR FROM (SELECT {column} AS value,"
        f" row_number() OVER (ORDER BY {column}) - 1 AS position FROM metrics"
        f" WHERE {column} IS NOT NULL) WHERE position IN ({', '.join(map(str, set(ranks)))})"
    ).fetchall()
    values = {position: Fraction(text) for position, text in rows}
    return [values[rank] for rank in ranks]


def _of_fractions(
    duck: duckdb.DuckDBPyConnection, metric: str, percentiles: Sequence[Decimal]
) -> list[Fraction]:
    """Floats find the neighbourhood of each rank; the fractions in it are sorted exactly."""
    top, below = _quoted(numerator(metric)), _quoted(denominator(metric))
    near = f"({top}::DOUBLE / {below}::DOUBLE)"
    known = duck.execute(
        f"SELECT {near} AS near FROM metrics WHERE {below} IS NOT NULL"
    ).fetchnumpy()["near"]
    count = len(known)
    if not count:
        return [Fraction(0)] * len(percentiles)
    ranks = _ranks(count, percentiles)
    ordered = np.partition(np.asarray(known, dtype=np.float64), sorted(set(ranks)))
    found = []
    for rank in ranks:
        # A float of two exact integers is off by some 1e-15; the margin is a million times that.
        margin = abs(ordered[rank]) * 1e-9 + 1e-300
        low, high = float(ordered[rank] - margin), float(ordered[rank] + margin)
        before = int((known < low).sum())
        rows = duck.execute(
            f"SELECT {top}::VARCHAR, {below}::VARCHAR, count(*) FROM metrics"
            f" WHERE {below} IS NOT NULL AND {near} >= ? AND {near} <= ? GROUP BY ALL",
            [low, high],
        ).fetchall()
        for value, times in sorted((Fraction(int(n), int(d)), times) for n, d, times in rows):
            before += times
            if rank < before:
                found.append(value)
                break
    return found


def _scalar(duck: duckdb.DuckDBPyConnection, sql: str) -> int:
    # fetchone would leave the result unfinished, which this connection does not forgive.
    return int(duck.execute(sql).fetchall()[0][0])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
