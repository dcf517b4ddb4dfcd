"""Windows and local days: docs/algorithms/rules-and-windows.md, cases by number."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import product
from zoneinfo import ZoneInfo

import pytest

from segmentation.domain.definitions import Window
from segmentation.domain.windows import (
    Interval,
    add_term,
    local_day,
    local_midnight,
    matured_end,
    resolve,
)

SHANGHAI = ZoneInfo("Asia/Shanghai")
NEW_YORK = ZoneInfo("America/New_York")
SECOND = timedelta(seconds=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def wall(text: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=zone)


def on_wall(interval: Interval, zone: ZoneInfo) -> tuple[str | None, str]:
    start, end = (
        None if instant is None else instant.astimezone(zone).replace(tzinfo=None).isoformat(" ")
        for instant in (interval.start, interval.end)
    )
    assert end is not None
    return start, end


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        # W01: whole days before the as-of day, nothing of today.
        (Window("days", 60), ("2018-01-14 00:00:00", "2018-03-15 00:00:00")),
        # W02, W03: N dates ending today, up to the instant.
        (Window("days", 60, to_now=True), ("2018-01-15 00:00:00", "2018-03-15 13:30:00")),
        (Window("days", 1, to_now=True), ("2018-03-15 00:00:00", "2018-03-15 13:30:00")),
        # W04, W05: months back to the same day.
        (Window("months", 3), ("2017-12-15 00:00:00", "2018-03-15 00:00:00")),
        (Window("months", 3, to_now=True), ("2017-12-15 00:00:00", "2018-03-15 13:30:00")),
        # W06: elapsed hours.
        (Window("hours", 36), ("2018-03-14 01:30:00", "2018-03-15 13:30:00")),
        # W07 to W14: calendar, current and whole ones before.
        (Window("calendar", calendar="year"), ("2018-01-01 00:00:00", "2018-03-15 13:30:00")),
        (Window("calendar", calendar="quarter"), ("2018-01-01 00:00:00", "2018-03-15 13:30:00")),
        (Window("calendar", calendar="month"), ("2018-03-01 00:00:00", "2018-03-15 13:30:00")),
        (
            Window("calendar", calendar="year", offset=-1),
            ("2017-01-01 00:00:00", "2018-01-01 00:00:00"),
        ),
        (
            Window("calendar", calendar="quarter", offset=-1),
            ("2017-10-01 00:00:00", "2018-01-01 00:00:00"),
        ),
        (
            Window("calendar", calendar="month", offset=-2),
            ("2018-01-01 00:00:00", "2018-02-01 00:00:00"),
        ),
        (
            Window("calendar", calendar="month", offset=-15),
            ("2016-12-01 00:00:00", "2017-01-01 00:00:00"),
        ),
        # W15: everything before the instant.
        (Window("all"), (None, "2018-03-15 13:30:00")),
    ],
)
def test_each_kind_of_window(window: Window, expected: tuple[str | None, str]) -> None:
    """W01 to W15: at an ordinary instant."""
    found = resolve(window, as_of=wall("2018-03-15 13:30", SHANGHAI), zone=SHANGHAI)
    assert on_wall(found, SHANGHAI) == expected
    assert found.end.tzinfo is UTC


def test_interval_is_half_open() -> None:
    """W97: the start counts, the end does not."""
    interval = resolve(Window("days", 1), as_of=utc("2018-03-15 13:30"), zone=ZoneInfo("UTC"))
    assert interval.start is not None
    assert interval.start in interval
    assert interval.start - timedelta(microseconds=1) not in interval
    assert interval.end - timedelta(microseconds=1) in interval
    assert interval.end not in interval


@pytest.mark.parametrize("to_now", [False, True])
def test_as_of_at_midnight_belongs_to_the_new_day(*, to_now: bool) -> None:
    """W21 to W23: at 00:00 the as-of day is the day that begins (S12)."""
    as_of = wall("2018-01-01 00:00", SHANGHAI)
    start = "2017-12-31 00:00:00" if not to_now else "2018-01-01 00:00:00"
    found = resolve(Window("days", 1, to_now=to_now), as_of=as_of, zone=SHANGHAI)
    assert on_wall(found, SHANGHAI) == (start, "2018-01-01 00:00:00")
    current = resolve(Window("calendar", calendar="year"), as_of=as_of, zone=SHANGHAI)
    assert current.start == current.end == as_of
    assert as_of - SECOND not in current


@pytest.mark.parametrize(
    ("as_of", "months", "start"),
    [
        ("2018-03-31 12:00", 1, "2018-02-28 00:00:00"),
        ("2016-03-31 12:00", 1, "2016-02-29 00:00:00"),
        ("2016-02-29 12:00", 12, "2015-02-28 00:00:00"),
        ("2016-02-29 12:00", 48, "2012-02-29 00:00:00"),
        ("2018-05-31 12:00", 1, "2018-04-30 00:00:00"),
        ("2018-01-31 12:00", 14, "2016-11-30 00:00:00"),
        ("2018-02-28 12:00", 1, "2018-01-28 00:00:00"),
    ],
)
def test_months_clamp_to_the_end_of_the_month(as_of: str, months: int, start: str) -> None:
    """W31 to W36, P07: 29 February and months of unequal length."""
    found = resolve(Window("months", months), as_of=wall(as_of, SHANGHAI), zone=SHANGHAI)
    assert on_wall(found, SHANGHAI) == (start, f"{as_of[:10]} 00:00:00")


# Days on which these zones' clocks change, in spring and in autumn, and a month's end.
DAYS = {
    "America/New_York": ("2018-03-11", "2018-11-04", "2018-02-28"),
    "Europe/Berlin": ("2018-03-25", "2018-10-28", "2018-12-31"),
    "America/Sao_Paulo": ("2017-10-15", "2018-02-18", "2016-02-29"),  # changes at midnight
    "Asia/Shanghai": ("2018-03-11", "2018-11-04", "2016-02-29"),
    "Asia/Kathmandu": ("2018-03-11", "2018-11-04", "2016-02-29"),
    "Pacific/Kiritimati": ("2018-03-11", "2018-11-04", "2016-02-29"),
    "Pacific/Pago_Pago": ("2018-03-11", "2018-11-04", "2016-02-29"),
}
ZONE_DAYS = [(zone, day) for zone, days in DAYS.items() for day in days]


@pytest.mark.parametrize(("name", "day"), ZONE_DAYS)
@pytest.mark.parametrize("time", ["first", "last"])
def test_days_before_and_behind_a_clock_change(name: str, day: str, time: str) -> None:
    """W98, S12, P07: facts at 23:59:59 and at the day's start fall on their own day, for as-of
    instants at both ends of the day and windows on both sides of a clock change."""
    zone = ZoneInfo(name)
    today = date.fromisoformat(day)
    starts = {back: local_midnight(today - timedelta(days=back), zone) for back in range(-1, 9)}
    as_of = starts[0] if time == "first" else starts[-1] - SECOND
    assert local_day(as_of, zone) == today
    for days, back in product((1, 2, 7), range(9)):
        whole = resolve(Window("days", days), as_of=as_of, zone=zone)
        to_now = resolve(Window("days", days, to_now=True), as_of=as_of, zone=zone)
        first, last = starts[back], starts[back - 1] - SECOND
        assert local_day(first, zone) == local_day(last, zone) == today - timedelta(days=back)
        for fact in (first, last):
            assert (fact in whole) is (1 <= back <= days)
            assert (fact in to_now) is (back < days and fact < as_of)


@pytest.mark.parametrize(("name", "day"), ZONE_DAYS)
def test_a_local_day_is_whole(name: str, day: str) -> None:
    """W98: a day starts right behind the last instant of the day before."""
    zone = ZoneInfo(name)
    start = local_midnight(date.fromisoformat(day), zone)
    assert local_day(start, zone) == date.fromisoformat(day)
    assert local_day(start - timedelta(microseconds=1), zone) < date.fromisoformat(day)


@pytest.mark.parametrize(
    ("name", "day", "first"),
    [
        ("Asia/Shanghai", "2018-01-01", "2017-12-31 16:00"),
        ("Asia/Kathmandu", "2018-01-01", "2017-12-31 18:15"),
        ("Pacific/Kiritimati", "2018-01-01", "2017-12-31 10:00"),
        ("Pacific/Pago_Pago", "2018-01-01", "2018-01-01 11:00"),
        # Midnight jumps to 01:00: the day starts at 01:00 on the wall.
        ("America/Sao_Paulo", "2017-10-15", "2017-10-15 03:00"),
        ("Asia/Beirut", "2022-03-27", "2022-03-26 22:00"),
        ("America/Havana", "2017-03-12", "2017-03-12 05:00"),
        # 24:00 jumps back to 23:00: midnight happens once, an hour late.
        ("America/Sao_Paulo", "2018-02-18", "2018-02-18 03:00"),
        # Midnight happens twice (00:01 jumps back to 23:01): the earlier.
        ("America/St_Johns", "2006-10-29", "2006-10-29 02:30"),
        # A date the zone left out starts and ends where the next one starts.
        ("Pacific/Apia", "2011-12-29", "2011-12-29 10:00"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30 10:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30 10:00"),
    ],
)
def test_first_instant_of_a_day(name: str, day: str, first: str) -> None:
    """W61 to W74: where midnight does not exist, happens twice, or the whole day is skipped."""
    assert local_midnight(date.fromisoformat(day), ZoneInfo(name)) == utc(first)


def test_skipped_day_is_an_empty_window() -> None:
    """W51, W52: on 31 December 2011 in Apia yesterday had no instants."""
    zone = ZoneInfo("Pacific/Apia")
    found = resolve(Window("days", 1), as_of=wall("2011-12-31 12:00", zone), zone=zone)
    assert found.start == found.end == utc("2011-12-30 10:00")
    two = resolve(Window("days", 2), as_of=wall("2011-12-31 12:00", zone), zone=zone)
    assert two == Interval(utc("2011-12-29 10:00"), utc("2011-12-30 10:00"))


def test_hours_are_elapsed_time() -> None:
    """W43: 24 hours over New York's spring night start at 11:00 the day before."""
    found = resolve(Window("hours", 24), as_of=wall("2018-03-11 12:00", NEW_YORK), zone=NEW_YORK)
    assert on_wall(found, NEW_YORK) == ("2018-03-10 11:00:00", "2018-03-11 12:00:00")


def test_a_window_longer_than_the_calendar_has_no_lower_end() -> None:
    """W99."""
    as_of = utc("2018-01-01 00:00")
    for window in (
        Window("days", 10**6),
        Window("days", 10**12),
        Window("months", 10**6),
        Window("hours", 10**9),
        Window("hours", 10**15),
    ):
        assert resolve(window, as_of=as_of, zone=SHANGHAI).start is None


@pytest.mark.parametrize("name", DAYS)
def test_matured_facts_are_that_many_local_days_old(name: str) -> None:
    """W81 to W83: matured_days 7: local date + 7 <= the as-of day."""
    zone = ZoneInfo(name)
    as_of = wall("2018-03-25 15:00", zone)
    end = matured_end(7, as_of=as_of, zone=zone)
    assert local_day(end - SECOND, zone) == date(2018, 3, 18)
    assert local_day(end, zone) == date(2018, 3, 19)
    assert matured_end(0, as_of=as_of, zone=zone) == local_midnight(date(2018, 3, 26), zone)


@pytest.mark.parametrize(
    ("day", "years", "months", "days", "expected"),
    [
        ("2016-02-29", 1, 0, 0, "2017-02-28"),
        ("2016-02-29", 4, 0, 0, "2020-02-29"),
        ("2018-01-31", 0, 1, 0, "2018-02-28"),
        ("2018-01-31", 0, 1, 1, "2018-03-01"),
        ("2018-12-31", 0, 2, 0, "2019-02-28"),
        ("2018-03-31", 0, -1, 0, "2018-02-28"),
        ("2018-01-15", 0, -1, -15, "2017-11-30"),
        ("2018-12-15", 1, 12, 30, "2021-01-14"),
    ],
)
def test_terms(day: str, years: int, months: int, days: int, expected: str) -> None:
    """W91 to W96, P07: years and months first, clamped, then days."""
    found = add_term(date.fromisoformat(day), years=years, months=months, days=days)
    assert found == date.fromisoformat(expected)


def test_term_outside_the_calendar() -> None:
    with pytest.raises(OverflowError):
        add_term(date(9999, 12, 1), months=1)
