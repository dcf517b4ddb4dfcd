"""From a window and an as-of instant to two ends: the one resolver every consumer uses.

Guarantee: an interval is half-open, `start <= time < end`, and both ends are UTC instants computed
once. The as-of day is the local date of the as-of instant, also at 00:00. A local day starts at
its first instant, also where midnight does not exist; a date the zone skipped altogether starts
(and ends) where the next one starts. Cases:
docs/algorithms/rules-and-windows.md.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from .definitions import Window

_SECOND = timedelta(seconds=1)
# Facts carry four-digit years; a window that reaches further back has no lower end. The margin
# keeps zone arithmetic away from the edge of the calendar.
_FIRST_DAY = date(2, 1, 1)
_MONTHS_IN = {"year": 12, "quarter": 3, "month": 1}


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open stretch of time in UTC; `start` None: from the beginning."""

    start: datetime | None
    end: datetime

    def __contains__(self, instant: datetime) -> bool:
        return (self.start is None or self.start <= instant) and instant < self.end


def local_day(instant: datetime, zone: ZoneInfo) -> date:
    """The date on the wall at that instant."""
    return instant.astimezone(zone).date()


def local_midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first instant of that local day, in UTC.

    Where 00:00 happens twice it is the earlier one; where it does not happen it is the instant the
    clock jumps over it.
    """
    wall = datetime.combine(day, time(), tzinfo=zone)
    instant = wall.astimezone(UTC)
    if instant.astimezone(zone).replace(tzinfo=None) == wall.replace(tzinfo=None):
        return instant
    # In a gap fold 1 reads the clock after the jump, so it lies before the jump, and fold 0
    # behind it. Offsets are whole seconds, so the jump is found exactly.
    before = wall.replace(fold=1).astimezone(UTC)
    after = instant
    while after - before > _SECOND:
        middle = before + timedelta(seconds=int((after - before).total_seconds()) // 2)
        if local_day(middle, zone) < day:
            before = middle
        else:
            after = middle
    return after


def add_term(day: date, *, years: int = 0, months: int = 0, days: int = 0) -> date:
    """Calendar steps from a day: years and months first, clamped to the month's end, then days.

    Raises OverflowError outside the calendar's years 1 to 9999.
    """
    month = day.year * 12 + day.month - 1 + years * 12 + months
    year, zero_based = divmod(month, 12)
    if not 1 <= year <= 9999:
        raise OverflowError("date value out of range")
    last = monthrange(year, zero_based + 1)[1]
    return date(year, zero_based + 1, min(day.day, last)) + timedelta(days=days)


def matured_end(days: int, *, as_of: datetime, zone: ZoneInfo) -> datetime:
    """The instant before which a fact is matured: its local date + days <= the as-of day."""
    day = _back(local_day(as_of, zone), days=days - 1)
    return local_midnight(day or _FIRST_DAY, zone)


def resolve(window: Window, *, as_of: datetime, zone: ZoneInfo) -> Interval:
    """The two ends of a window at an as-of instant, in the zone's calendar (UTC instants)."""
    as_of = as_of.astimezone(UTC)
    today = local_day(as_of, zone)
    match window.kind:
        case "all":
            return Interval(None, as_of)
        case "hours":
            return Interval(_hours_back(as_of, window.count), as_of)
        case "days":
            first = _back(today, days=window.count - 1 if window.to_now else window.count)
            return Interval(_starts(first, zone), _ends(window, today, as_of, zone))
        case "months":
            first = _back(today, months=window.count)
            return Interval(_starts(first, zone), _ends(window, today, as_of, zone))
        case "calendar":
            return _calendar(window, today, as_of, zone)


def _calendar(window: Window, today: date, as_of: datetime, zone: ZoneInfo) -> Interval:
    length = _MONTHS_IN[window.calendar or "month"]
    current = date(today.year, (today.month - 1) // length * length + 1, 1)
    start = _starts(_back(current, months=-window.offset * length), zone)
    if window.offset == 0:
        return Interval(start, as_of)
    following = _back(current, months=(-window.offset - 1) * length)
    return Interval(start, local_midnight(following or _FIRST_DAY, zone))


def _ends(window: Window, today: date, as_of: datetime, zone: ZoneInfo) -> datetime:
    return as_of if window.to_now else local_midnight(today, zone)


def _starts(day: date | None, zone: ZoneInfo) -> datetime | None:
    return None if day is None else local_midnight(day, zone)


def _back(day: date, *, months: int = 0, days: int = 0) -> date | None:
    """That far before `day`; None where the calendar ends."""
    try:
        earlier = add_term(day, months=-months, days=-days)
    except OverflowError:
        return None
    return earlier if earlier >= _FIRST_DAY else None


def _hours_back(instant: datetime, hours: int) -> datetime | None:
    try:
        earlier = instant - timedelta(hours=hours)
    except OverflowError:
        return None
    return earlier if earlier.date() >= _FIRST_DAY else None
