"""Figures of one column among some customers: exact sums, order statistics, counts by bucket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
QUARTILES = (25, 50, 75)
DECILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)
_RANKED = tuple(sorted({*QUARTILES, *DECILES}))
_SAFE = 2**62


@dataclass(frozen=True, slots=True)
class Summary:
    """Values in units of 10**-decimals. `at` maps a percentile to the value of rank
    floor(p/100 x n) + 1 among the n present values; empty without any."""

    count: int
    total: int | float
    at: dict[int, int | float]


def summary(units: Array, known: npt.NDArray[np.bool_] | None) -> Summary:
    """Sum and order statistics of the present values; `known` None: all are.

    `units` are whole numbers, or floats beyond 64 bits.
    """
    present = units if known is None else units[known]
    count = len(present)
    if not count:
        return Summary(0, 0, {})
    ranks = {percentile: min(percentile * count // 100, count - 1) for percentile in _RANKED}
    ordered = np.partition(present, sorted(set(ranks.values())))
    return Summary(count, _total(present), {p: ordered[rank].item() for p, rank in ranks.items()})


def _total(values: Array) -> int | float:
    if values.dtype.kind == "f":
        return float(values.sum())
    largest = max(abs(int(values.max())), abs(int(values.min())))
    if largest * len(values) < _SAFE:
        return int(values.sum(dtype=np.int64))
    wide = values.astype(np.int64)
    return (int((wide >> 32).sum()) << 32) + int((wide & 0xFFFFFFFF).sum())


def edges_of(found: Summary) -> tuple[int | float, ...]:
    """Where buckets begin, after the first: the distinct deciles, but not the lowest value."""
    return tuple(sorted({found.at[p] for p in DECILES})) if found.at else ()


def bucket_counts(
    units: Array, known: npt.NDArray[np.bool_] | None, edges: Sequence[int | float]
) -> list[int]:
    """How many present values lie below the first edge, from each edge to the next, and from the
    last on."""
    present = units if known is None else units[known]
    below = [int(np.count_nonzero(present < edge)) for edge in edges]
    return [high - low for low, high in zip([0, *below], [*below, len(present)], strict=True)]


def class_counts(codes: Array, classes: int) -> list[int]:
    """How many customers are in each class, by code; those in none (-1) are left out."""
    found = np.bincount(codes.astype(np.int64) + 1, minlength=classes + 1)
    return [int(count) for count in found[1:]]


def decimal_value(units: float, decimals: int) -> Decimal:
    """A value in units of 10**-decimals as a Decimal."""
    return Decimal(f"{units}E-{decimals}") if isinstance(units, int) else _near(units, decimals)


def _near(units: float, decimals: int) -> Decimal:
    return rounded(Fraction(units) / 10**decimals, decimals)


def mean_value(found: Summary, decimals: int, *, shown: int) -> Decimal | None:
    """The exact sum through the count, rounded half-up to `shown` decimals."""
    if not found.count:
        return None
    return rounded(Fraction(found.total) / found.count / 10**decimals, shown)


def rounded(value: Fraction, decimals: int) -> Decimal:
    """A fraction with so many decimals, rounded half-up (away from zero)."""
    scaled = value * 10**decimals
    magnitude = (2 * abs(scaled.numerator) + scaled.denominator) // (2 * scaled.denominator)
    # Written out: arithmetic with Decimal would round to 28 digits.
    return Decimal(f"{'-' if scaled < 0 else ''}{magnitude}E-{decimals}")


def share_of(part: int, whole: int) -> Decimal | None:
    """`part / whole` with 4 decimals, rounded half-up; None of nothing."""
    return rounded(Fraction(part, whole), 4) if whole else None


def tgi(part: int, whole: int, base_part: int, base_whole: int) -> int | None:
    """100 times the share in the group through the share in everybody, rounded half-up; None where
    one of the shares does not exist or nobody has the value."""
    if not whole or not base_part or not base_whole:
        return None
    index = Fraction(100 * part * base_whole, whole * base_part)
    return int(Decimal(rounded(index, 0)).to_integral_value(rounding=ROUND_HALF_UP))
