"""Columns of times at once, with the zone's own transitions.

Guarantee: for every text this accepts, the instant is the one `facts_values.read_time` gives;
what it does not accept (29 February, odd years and forms, skipped times) it leaves to that.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .chunks import Mask

_FIRST_YEAR, _LAST_YEAR = 1900, 2099
_DAY = (
    r"(?:19|20)[0-9]{2}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    r"|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_CLOCK = r"[T ](?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?"
_DATE = f"^{_DAY}$"
_WALL = f"^{_DAY}(?:{_CLOCK})?$"
_WITH_OFFSET = rf"^{_DAY}{_CLOCK}(?:Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])$"

Micros = npt.NDArray[np.int64]


def date_matches(texts: pa.StringArray) -> pa.BooleanArray:
    """Where a text is surely a date of the years 1900 to 2099."""
    return pc.match_substring_regex(texts, _DATE)


def instants(texts: pa.StringArray, *, zone: ZoneInfo) -> tuple[Micros, Mask]:
    """Microseconds since 1970 UTC, and where they are valid; missing texts are not."""
    micros = np.zeros(len(texts), np.int64)
    found = np.zeros(len(texts), bool)
    wall = _mask(texts, _WALL)
    if wall.any():
        walls = _parsed(texts, wall, pa.timestamp("us"))
        utc, exists = from_wall(walls, zone=zone)
        micros[wall], found[wall] = utc[wall], exists[wall]
    if wall.sum() + texts.null_count < len(texts):
        offset = _mask(texts, _WITH_OFFSET)
        if offset.any():
            micros[offset] = _parsed(texts, offset, pa.timestamp("us", "UTC"))[offset]
            found |= offset
    return micros, found


def _mask(texts: pa.StringArray, pattern: str) -> Mask:
    matches = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    return matches.to_numpy(zero_copy_only=False)


def _parsed(texts: pa.StringArray, mask: Mask, type_: pa.DataType) -> Micros:
    chosen = texts if mask.all() else pc.if_else(pa.array(mask), texts, None)
    return chosen.cast(type_).cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)


def from_wall(walls: Micros, *, zone: ZoneInfo) -> tuple[Micros, Mask]:
    """Wall times (microseconds as if UTC) as instants; of two the earlier. False where none is."""
    changes, offsets = _transitions(zone)
    # The clock shows the old offset up to the change; a repeated hour is read the first time.
    boundaries = changes + offsets[:-1]
    index = np.searchsorted(boundaries, walls, side="right")
    instants_ = walls - offsets[index]
    exists = np.ones(len(walls), bool)
    if len(changes):
        exists = (index == 0) | (instants_ >= changes[np.maximum(index - 1, 0)])
    return instants_, exists


@lru_cache(maxsize=8)
def _transitions(zone: ZoneInfo) -> tuple[Micros, Micros]:
    """The instants at which the zone's offset changes, and the offsets: one more than changes.

    Found by looking at every noon from 1899 to 2101, so a zone that changed twice within a day
    is not served; the tz database has none.
    """
    day = datetime(_FIRST_YEAR - 1, 1, 1, 12, tzinfo=UTC)
    end = datetime(_LAST_YEAR + 2, 1, 1, tzinfo=UTC)
    offset = _offset(day, zone)
    changes, offsets = [], [offset]
    while day < end:
        following = day + timedelta(days=1)
        new = _offset(following, zone)
        if new != offset:
            changes.append(_change(day, following, zone))
            offsets.append(new)
            offset = new
        day = following
    return np.array(changes, np.int64), np.array(offsets, np.int64)


def _offset(instant: datetime, zone: ZoneInfo) -> int:
    offset = instant.astimezone(zone).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> int:
    """The first whole second after `before` with the offset of `after`, in microseconds."""
    target = _offset(after, zone)
    seconds = int((after - before).total_seconds())
    low, high = 0, seconds
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(before + timedelta(seconds=middle), zone) == target:
            high = middle
        else:
            low = middle
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return (before + timedelta(seconds=high) - epoch) // timedelta(microseconds=1)
