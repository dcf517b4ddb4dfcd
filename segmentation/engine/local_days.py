"""Local dates of UTC instants, vectorised over a table of offsets.

No backend does time-zone arithmetic: the offsets come from `zoneinfo` alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400_000_000
_FIRST = datetime(1900, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)


def micros(instant: datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exact."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The aware UTC instant of `micros`."""
    return _EPOCH + timedelta(microseconds=int(value))


@dataclass(frozen=True, slots=True)
class OffsetTable:
    """`offsets[i]` (microseconds east of UTC) holds from `starts[i]` until `starts[i + 1]`."""

    starts: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]


@lru_cache(maxsize=32)
def offset_table(zone_name: str) -> OffsetTable:
    """Every offset of the zone between 1900 and 2200, to the second."""
    zone = ZoneInfo(zone_name)

    def offset(instant: datetime) -> int:
        found = instant.astimezone(zone).utcoffset()
        return 0 if found is None else found // timedelta(microseconds=1)

    starts, offsets = [np.iinfo(np.int64).min], [offset(_FIRST)]
    step = timedelta(days=2)  # Recife changed its offset twice within a week in 2000
    at = _FIRST
    while at < _LAST:
        after = at + step
        if offset(after) != offset(at):
            low, high = at, after
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=1) // 2)
                if offset(middle) == offset(low):
                    low = middle
                else:
                    high = middle
            starts.append(micros(high))
            offsets.append(offset(high))
        at = after
    return OffsetTable(np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64))


def local_days(instants: npt.NDArray[np.int64], zone_name: str) -> npt.NDArray[np.int32]:
    """Days since 1970-01-01 of the local date of each instant (microseconds UTC)."""
    table = offset_table(zone_name)
    positions = np.searchsorted(table.starts, instants, side="right") - 1
    return ((instants + table.offsets[positions]) // _DAY).astype(np.int32)
