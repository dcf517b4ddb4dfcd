"""Quiet hours on any day, in zones whose clocks jump at night."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from membership.domain.alerts import end_of_quiet, is_quiet

ZONES = ("Asia/Shanghai", "America/New_York", "Europe/Lisbon", "Australia/Lord_Howe",
         "America/Sao_Paulo", "Asia/Kathmandu")  # fmt: skip
_MINUTE = timedelta(minutes=1)
_walls = st.builds(time, st.integers(0, 23), st.integers(0, 59))
_instants = st.datetimes(
    min_value=datetime(2017, 1, 1),  # noqa: DTZ001
    max_value=datetime(2027, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@given(now=_instants, start=_walls, end=_walls, zone=st.sampled_from(ZONES).map(ZoneInfo))
@example(
    now=datetime(2018, 11, 4, 2, 30, tzinfo=UTC),  # midnight does not exist in Sao Paulo
    start=time(23, 30),
    end=time(0, 30),
    zone=ZoneInfo("America/Sao_Paulo"),
)
def test_quiet_ends_at_the_first_minute_that_is_not_quiet(
    now: datetime, start: time, end: time, zone: ZoneInfo
) -> None:
    if start == end:
        return  # refused when a rule is saved, and by the database
    found = end_of_quiet(now, start=start, end=end, zone=zone)
    assert found >= now
    assert not is_quiet(found, start=start, end=end, zone=zone)
    if not is_quiet(now, start=start, end=end, zone=zone):
        assert found == now
        return
    assert found.second == found.microsecond == 0
    assert is_quiet(found - _MINUTE, start=start, end=end, zone=zone) or found - now < _MINUTE
    assert found - now <= timedelta(hours=25)
    moment = now
    while moment < found:
        assert is_quiet(moment, start=start, end=end, zone=zone)
        moment += timedelta(minutes=7)
