"""Exact columns as rounded integers and texts: the only place where a run's values are rounded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.domain.definitions import Unit
from segmentation.domain.values import RATIO_DECIMALS, currency_decimals

from .plan.formulas import Shape

_SAFE = 2**62


def unit_decimals(unit: Unit, currency: str) -> int:
    """How many decimals a unit is shown with."""
    if unit == "money":
        return currency_decimals(currency)
    return RATIO_DECIMALS if unit == "ratio" else 0


def rounded_units(
    top: pa.ChunkedArray, below: pa.ChunkedArray | None, *, shape: Shape, decimals: int
) -> tuple[npt.NDArray[np.object_ | np.int64], npt.NDArray[np.bool_]]:
    """`value * 10**decimals` rounded half-up, exactly, and where it is missing.

    `top` and `below` are a metric's two columns (`below` only of a fraction). Plain int64 where
    that can't overflow, Python integers otherwise.
    """
    deciding = top if below is None else below
    missing = np.asarray(pc.is_null(deciding))
    up: Any = _integers(top)
    down: Any = _integers(below) if below is not None else None
    factor = 2 * 10**decimals
    bound = _largest(up) * factor
    divisor_bound = (_largest(down) if down is not None else 1) * shape.scale * 2
    if bound + divisor_bound >= _SAFE:
        up = up.astype(object)
        down = down.astype(object) if down is not None else None
    divisor = shape.scale * (np.where(missing, 1, down) if down is not None else 1)
    magnitude = (np.abs(up) * factor + divisor) // (2 * divisor)
    return np.where(up < 0, -magnitude, magnitude), missing


def texts(units: Sequence[int], missing: Sequence[bool], decimals: int) -> list[str | None]:
    """Rounded units as decimal texts, None where missing."""
    if decimals == 0:
        return [None if gone else str(value) for value, gone in zip(units, missing, strict=True)]
    base = 10**decimals
    found: list[str | None] = []
    for value, gone in zip(units, missing, strict=True):
        if gone:
            found.append(None)
            continue
        whole, part = divmod(abs(int(value)), base)
        found.append(f"{'-' if value < 0 else ''}{whole}.{part:0{decimals}d}")
    return found


def _integers(column: pa.ChunkedArray) -> npt.NDArray[np.object_ | np.int64]:
    if pa.types.is_decimal(column.type):
        if column.null_count == len(column):
            return np.zeros(len(column), dtype=np.int64)
        low, high = (abs(int(value.as_py())) for value in pc.min_max(column).values())
        if max(low, high) < _SAFE:
            column = pc.cast(column, pa.int64())
        else:
            return np.array(
                [0 if value is None else int(value) for value in column.to_pylist()], dtype=object
            )
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0))


def _largest(values: npt.NDArray[np.object_ | np.int64]) -> int:
    if not len(values):
        return 0
    return max(abs(int(values.max())), abs(int(values.min())))
