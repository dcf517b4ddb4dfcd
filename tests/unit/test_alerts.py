"""Alert rules as numbers: when something is late, unusual, due, quiet, tried again."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from membership.domain.alerts import (
    GIVE_UP_AFTER,
    THRESHOLDS,
    Schedule,
    end_of_quiet,
    is_quiet,
    is_unusually_many,
    last_due,
    longest_run,
    median,
    next_attempt,
    out_of_bounds,
    thresholds_of,
)
from membership.models import AlertKind
from membership.services.alert_conditions import CONDITIONS
from membership.services.alert_words import THRESHOLD_WORDS

SHANGHAI, NEW_YORK = ZoneInfo("Asia/Shanghai"), ZoneInfo("America/New_York")
NOW = datetime(2026, 3, 2, 4, 0, tzinfo=UTC)


def _at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def test_every_kind_has_thresholds_words_and_a_condition() -> None:
    assert set(THRESHOLDS) == set(AlertKind.values) == set(CONDITIONS)
    named = {(kind, name) for kind, each in THRESHOLDS.items() for name in each}
    assert named == set(THRESHOLD_WORDS)
    for each in THRESHOLDS.values():
        assert all(one.least <= one.default <= one.most for one in each.values())


def test_stored_numbers_replace_the_defaults() -> None:
    assert thresholds_of("rejects", {"rows": 7}) == {"rows": 7, "percent": 5}
    assert thresholds_of("rejects", {"nothing": 1}) == {"rows": 20, "percent": 5}


@pytest.mark.parametrize(
    ("given", "wrong"),
    [({"rows": 1, "percent": 100}, ()), ({"rows": 0}, ("rows",)), ({"percent": 101}, ("percent",)),
     ({"rows": True}, ("rows",)), ({"rows": "20"}, ("rows",)), ({"hours": 3}, ("hours",))],
)  # fmt: skip
def test_bounds(given: dict[str, object], wrong: tuple[str, ...]) -> None:
    assert out_of_bounds("rejects", given) == wrong


@pytest.mark.parametrize(
    ("now", "start", "end", "zone", "expected"),
    [
        # half-open: quiet at the first minute, not at the last
        ("2026-03-02T22:00+08:00", "22:00", "07:30", SHANGHAI, "2026-03-03T07:30+08:00"),
        ("2026-03-03T07:29:59+08:00", "22:00", "07:30", SHANGHAI, "2026-03-03T07:30+08:00"),
        ("2026-03-03T07:30+08:00", "22:00", "07:30", SHANGHAI, "2026-03-03T07:30+08:00"),
        ("2026-03-03T12:00+08:00", "22:00", "07:30", SHANGHAI, "2026-03-03T12:00+08:00"),
        ("2026-03-03T12:30+08:00", "12:00", "13:00", SHANGHAI, "2026-03-03T13:00+08:00"),
        # the clock jumps from 2:00 to 3:00 over the end: quiet ends with the jump
        ("2026-03-08T01:00-05:00", "22:00", "02:30", NEW_YORK, "2026-03-08T03:00-04:00"),
        # 1:00 to 2:00 happens twice; quiet ends at the first 1:30 and begins again at 1:00
        ("2026-11-01T00:30-04:00", "22:00", "01:30", NEW_YORK, "2026-11-01T01:30-04:00"),
        ("2026-11-01T01:10-05:00", "22:00", "01:30", NEW_YORK, "2026-11-01T01:30-05:00"),
    ],
)
def test_quiet_hours(now: str, start: str, end: str, zone: ZoneInfo, expected: str) -> None:
    hours = {"start": time.fromisoformat(start), "end": time.fromisoformat(end), "zone": zone}
    assert end_of_quiet(_at(now), **hours) == _at(expected)


def test_without_both_ends_no_hour_is_quiet() -> None:
    for start, end in ((None, None), (time(22), None), (None, time(7))):
        assert not is_quiet(NOW, start=start, end=end, zone=SHANGHAI)
        assert end_of_quiet(NOW, start=start, end=end, zone=SHANGHAI) == NOW


def test_attempts_come_in_ever_longer_steps_of_at_most_an_hour() -> None:
    steps = [(next_attempt(NOW, attempts=number) - NOW) for number in range(1, 10)]
    minutes = [step / timedelta(minutes=1) for step in steps]
    assert minutes == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert next_attempt(NOW, attempts=10**6) - NOW == timedelta(hours=1)
    assert timedelta(days=3) == GIVE_UP_AFTER


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [([], 0), ([7], 7), ([9, 1], 5), ([1, 2], Fraction(3, 2)), ([3, 1, 2], 2)],
)  # fmt: skip
def test_median(numbers: list[int], expected: Fraction) -> None:
    assert median(numbers) == expected


@pytest.mark.parametrize(
    ("today", "past", "expected"),
    [
        (31, [10] * 7, True),
        (30, [10] * 7, False),  # three times is not above three times
        (31, [10] * 6, False),  # too few days say nothing
        (20, [0] * 7, True),
        (19, [0] * 7, False),  # never many below the least
        (400, [10, 10, 10, 10, 500, 500, 500], True),  # the median, not the mean
        (46, [10, 20] * 4, True),
        (45, [10, 20] * 4, False),
    ],
)
def test_unusually_many_upgrades(today: int, past: list[int], expected: bool) -> None:
    assert is_unusually_many(today, past, times=3, least=20, days=7) is expected


@pytest.mark.parametrize(
    ("minutes", "expected"), [([], 30), ([1, 2, 3], 30), ([20, 30, 40], 90), ([11], 33)]
)
def test_how_long_a_run_may_take(minutes: list[int], expected: int) -> None:
    durations = [timedelta(minutes=each) for each in minutes]
    floor = timedelta(minutes=30)
    assert longest_run(durations, floor=floor, times=3) == timedelta(minutes=expected)


def _schedule(zone: ZoneInfo = SHANGHAI, **named: set[int]) -> Schedule:
    every = {
        "minutes": {0}, "hours": {2}, "days_of_week": set(range(7)),
        "days_of_month": set(range(1, 32)), "months": set(range(1, 13)),
    }  # fmt: skip
    return Schedule(**{key: frozenset(each) for key, each in (every | named).items()}, zone=zone)


@pytest.mark.parametrize(
    ("now", "schedule", "expected"),
    [
        ("2026-03-02T02:00+08:00", _schedule(), "2026-03-02T02:00+08:00"),
        ("2026-03-02T01:59+08:00", _schedule(), "2026-03-01T02:00+08:00"),
        ("2026-03-02T12:00+08:00", _schedule(days_of_week={0}), "2026-03-01T02:00+08:00"),
        ("2026-03-07T12:00+08:00", _schedule(days_of_week={1}), "2026-03-02T02:00+08:00"),
        ("2026-03-02T12:00+08:00", _schedule(days_of_month={31}), "2026-01-31T02:00+08:00"),
        ("2026-03-02T12:00+08:00", _schedule(days_of_month={29}, months={2}),
         "2024-02-29T02:00+08:00"),
        ("2026-03-02T14:20+08:00", _schedule(hours={2, 14}, minutes={15, 45}),
         "2026-03-02T14:15+08:00"),
        # 2:30 does not exist on that day: the clock stood at 3:30 when as much time had passed
        ("2026-03-08T12:00-04:00", _schedule(NEW_YORK, minutes={30}), "2026-03-08T03:30-04:00"),
        # 1:30 happens twice: due at the first
        ("2026-11-01T12:00-05:00", _schedule(NEW_YORK, hours={1}, minutes={30}),
         "2026-11-01T01:30-04:00"),
    ],
)  # fmt: skip
def test_when_a_schedule_was_due_last(now: str, schedule: Schedule, expected: str) -> None:
    assert last_due(_at(now), schedule) == _at(expected)


def test_a_schedule_that_is_never_due() -> None:
    assert last_due(NOW, _schedule(days_of_month={30}, months={2})) is None
