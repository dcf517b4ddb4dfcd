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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
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
        walls = _parsed(texts, wall, pa.timestamp("us"))[wall]
        micros[wall], found[wall] = from_wall(walls, zone=zone)
    if wall.sum() + texts.null_count < len(texts):
        offset = _mask(texts, _WITH_OFFSET)
        if offset.any():
            micros[offset] = _parsed(texts, offset, pa.timestamp("us", "UTC"))[offset]
            found |= offset
    return micros, found


def _mask(texts: pa.StringArray, pattern: str) -> Mask:
    matches = pc.fill_null(pc.match_substring_regex(texts, pattern), False)
    mask: Mask = matches.to_numpy(zero_copy_only=False)
    return mask


def _parsed(texts: pa.StringArray, mask: Mask, type_: pa.DataType) -> Micros:
    chosen = texts if mask.all() else pc.if_else(pa.array(mask), texts, None)
    micros: Micros = chosen.cast(type_).cast(pa.int64()).fill_null(0).to_numpy()
    return micros


def from_wall(walls: Micros, *, zone: ZoneInfo) -> tuple[Micros, Mask]:
    """Wall times (microseconds as if UTC) as instants; of two the earlier. False where none is."""
    years = walls.astype("datetime64[us]").astype("datetime64[Y]").astype(int) + 1970
    changes, offsets = _transitions(zone, int(years.min()), int(years.max()))
    # The clock shows the old offset up to the change; a repeated hour is read the first time.
    boundaries = changes + offsets[:-1]
    index = np.searchsorted(boundaries, walls, side="right")
    instants_ = walls - offsets[index]
    exists = np.ones(len(walls), bool)
    if len(changes):
        exists = (index == 0) | (instants_ >= changes[np.maximum(index - 1, 0)])
    return instants_, exists


@lru_cache(maxsize=64)
def _transitions(zone: ZoneInfo, first_year: int, last_year: int) -> tuple[Micros, Micros]:
    """The instants at which the zone's offset changes in these years and a few days around, and
    the offsets: one more than changes."""
    first = _noon(first_year - 1, 12, 25)
    offsets = [_offset(first, zone)]
    changes = []
    for year in range(first_year - 1, last_year + 2):
        for change, offset in _changes(zone, year):
            if change > (first - _EPOCH) // _MICROSECOND:
                changes.append(change)
                offsets.append(offset)
    return np.array(changes, np.int64), np.array(offsets, np.int64)


@lru_cache(maxsize=1024)
def _changes(zone: ZoneInfo, year: int) -> tuple[tuple[int, int], ...]:
    """The changes from noon of New Year's Day to the next, each with the new offset.

    Found by looking at every noon, so a zone that changed twice within a day is not served; the
    tz database has none.
    """
    day, end = _noon(year, 1, 1), _noon(year + 1, 1, 1)
    offset = _offset(day, zone)
    found = []
    while day < end:
        following = day + timedelta(days=1)
        new = _offset(following, zone)
        if new != offset:
            found.append((_change(day, following, zone), new))
            offset = new
        day = following
    return tuple(found)


def _noon(year: int, month: int, day: int) -> datetime:
    return datetime(year, month, day, 12, tzinfo=UTC)


def _offset(instant: datetime, zone: ZoneInfo) -> int:
    offset = instant.astimezone(zone).utcoffset() or timedelta()
    return offset // _MICROSECOND


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
    return (before + timedelta(seconds=high) - _EPOCH) // _MICROSECOND
