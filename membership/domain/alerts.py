"""When something is wrong enough to tell somebody, and when they are told.

Guarantee: nothing here reads a clock or a setting. `now` of schedules is the project's, `now` of
quiet hours and messages the real one. Quiet hours end at the first minute that is outside them, on
whatever days the clock jumps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

_MINUTE = timedelta(minutes=1)
_LONGEST_QUIET = 2 * 24 * 60  # minutes to look ahead; quiet hours are shorter than a day
_OLDEST_DUE = 5 * 366  # days to look back; what is due more seldom is not watched

BACK_OFF = timedelta(seconds=30)
LONGEST_BACK_OFF = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(days=3)


@dataclass(frozen=True, slots=True)
class Threshold:
    """A whole number of a rule, with what it is unless somebody changes it, and its bounds."""

    default: int
    least: int
    most: int


# By kind of rule. `percent` are of the rows of one import, `times` of a median.
THRESHOLDS: Mapping[str, Mapping[str, Threshold]] = {
    "run_failed": {},
    "run_held": {},
    # Under way longer than `minutes` and than `times` the median of the last runs, or waiting for
    # a worker for `waiting_minutes` though none is under way.
    "run_late": {
        "minutes": Threshold(30, 1, 2880),
        "times": Threshold(3, 1, 100),
        "waiting_minutes": Threshold(15, 1, 2880),
    },
    # No run was asked for within `minutes` after the schedule was due.
    "run_missing": {"minutes": Threshold(30, 1, 2880)},
    "parity": {},
    # The mirror goes on with each run, so once a day: more than a day and a half is too long.
    # `batches` 0: however many.
    "mirror_lag": {
        "minutes": Threshold(2160, 1, 43200),
        "batches": Threshold(0, 0, 100_000),
    },
    "rejects": {"rows": Threshold(20, 1, 10_000_000), "percent": Threshold(5, 0, 100)},
    "feed_stopped": {"days": Threshold(2, 1, 89)},
    "upgrades": {
        "times": Threshold(3, 1, 100),
        "least": Threshold(20, 1, 10_000_000),
        "days": Threshold(7, 1, 28),
    },
    "approval_waiting": {"hours": Threshold(72, 1, 8760)},
}


def thresholds_of(kind: str, stored: Mapping[str, int]) -> dict[str, int]:
    """The numbers that hold for a rule: what is stored, else the default."""
    return {
        name: stored.get(name, threshold.default) for name, threshold in THRESHOLDS[kind].items()
    }


def out_of_bounds(kind: str, given: Mapping[str, object]) -> tuple[str, ...]:
    """Names among `given` that the kind does not have, or whose number it does not take."""
    known = THRESHOLDS[kind]
    return tuple(
        name
        for name, number in given.items()
        if name not in known
        or not isinstance(number, int)
        or isinstance(number, bool)
        or not known[name].least <= number <= known[name].most
    )


def is_quiet(now: datetime, *, start: time | None, end: time | None, zone: ZoneInfo) -> bool:
    """Whether the wall clock shows a time from `start` to before `end`, perhaps over midnight."""
    if start is None or end is None:
        return False
    wall = now.astimezone(zone).time()
    if start < end:
        return start <= wall < end
    return wall >= start or wall < end


def end_of_quiet(
    now: datetime, *, start: time | None, end: time | None, zone: ZoneInfo
) -> datetime:
    """`now` outside quiet hours, else the first whole minute outside them, in UTC."""
    if not is_quiet(now, start=start, end=end, zone=zone):
        return now
    # Minute by minute: a clock that jumps over the end, or back behind it, needs no rule then.
    moment = now.astimezone(UTC).replace(second=0, microsecond=0)
    for _minute in range(_LONGEST_QUIET):
        moment += _MINUTE
        if not is_quiet(moment, start=start, end=end, zone=zone):
            break
    return moment


def next_attempt(now: datetime, *, attempts: int) -> datetime:
    """When to try again after `attempts` failures: 30 s, 1, 2, 4 ... minutes, at most an hour."""
    doublings = min(max(attempts - 1, 0), 16)
    return now + min(BACK_OFF * (1 << doublings), LONGEST_BACK_OFF)


def median(numbers: Sequence[int]) -> Fraction:
    """The middle of the sorted numbers, or half way between the two in the middle; 0 of none."""
    ordered = sorted(numbers)
    if not ordered:
        return Fraction(0)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return Fraction(ordered[middle])
    return Fraction(ordered[middle - 1] + ordered[middle], 2)


def is_unusually_many(
    today: int, past: Sequence[int], *, times: int, least: int, days: int
) -> bool:
    """Whether today's number is above `times` the median of past days with a run. Fewer than
    `days` such days say nothing about what is usual; fewer than `least` today are never many."""
    return len(past) >= days and today >= least and today > times * median(past)


def longest_run(durations: Sequence[timedelta], *, floor: timedelta, times: int) -> timedelta:
    """How long a run may take: `times` the median of the last ones, at least `floor`."""
    seconds = median([int(duration.total_seconds()) for duration in durations])
    return max(floor, timedelta(seconds=float(times * seconds)))


@dataclass(frozen=True, slots=True)
class Schedule:
    """The numbers that a crontab names; days of the week count from 0, Sunday. All must hold."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_week: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    zone: ZoneInfo


def last_due(now: datetime, schedule: Schedule) -> datetime | None:
    """The last instant at or before `now` at which the schedule was due, in UTC."""
    today = now.astimezone(schedule.zone).date()
    walls = [
        time(hour, minute)
        for hour in sorted(schedule.hours, reverse=True)
        for minute in sorted(schedule.minutes, reverse=True)
    ]
    for back in range(_OLDEST_DUE):
        day = today - timedelta(days=back)
        if (
            day.month not in schedule.months
            or day.day not in schedule.days_of_month
            or day.isoweekday() % 7 not in schedule.days_of_week
        ):
            continue
        for wall in walls:
            instant = datetime.combine(day, wall, tzinfo=schedule.zone).astimezone(UTC)
            if instant <= now:
                return instant
    return None
