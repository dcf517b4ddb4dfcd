"""Where one value stands among many."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

_STEP = Decimal("0.0001")
Mask = npt.NDArray[np.bool_]


def share(part: int, whole: int) -> Decimal:
    """`part / whole` with 4 decimals, rounded half-up; `whole` is above 0."""
    return (Decimal(part) / Decimal(whole)).quantize(_STEP, rounding=ROUND_HALF_UP)


def percentile_rank(below: int, ties: int, count: int) -> Decimal | None:
    """The share of `count` values that lie below, ties (the value itself is one) half: from 0 to
    1 with 4 decimals, rounded half-up. None among no values."""
    return share(2 * below + ties, 2 * count) if count else None


def below_and_ties(order: npt.NDArray[Any], at: int) -> tuple[Mask, Mask]:
    """Which values lie below the one at position `at`, and which equal it.

    A value that compares with nothing (not a number) is neither.
    """
    value = order[at]
    return order < value, order == value
