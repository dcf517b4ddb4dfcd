"""Local days in the engine: the table of offsets says what `zoneinfo` says (decision 11, P07)."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from segmentation.domain.windows import local_day
from segmentation.engine.local_days import from_micros, local_days, micros, offset_table

# Recife and Gaza change twice within a week, Apia skips a date, Monrovia had odd seconds.
ZONES = (
    "America/New_York", "America/Sao_Paulo", "America/Recife", "America/St_Johns", "Asia/Gaza",
    "Asia/Kathmandu", "Asia/Shanghai", "Africa/Monrovia", "Pacific/Apia", "Pacific/Kiritimati",
    "Pacific/Pago_Pago", "UTC",
)  # fmt: skip
SECOND = timedelta(seconds=1)


def turns(zone: ZoneInfo) -> list[datetime]:
    """Every hour at which the zone's offset is another than an hour before, 1970 to 2040."""
    at, end, found = datetime(1970, 1, 1, tzinfo=UTC), datetime(2040, 1, 1, tzinfo=UTC), []
    while at < end:
        if (
            at.astimezone(zone).utcoffset()
            != (at - timedelta(hours=12)).astimezone(zone).utcoffset()
        ):
            found.append(at)
        at += timedelta(hours=12)
    return found


@pytest.mark.parametrize("name", ZONES)
def test_days_around_every_change_of_offset(name: str) -> None:
    zone = ZoneInfo(name)
    near = [datetime(1970, 1, 1, tzinfo=UTC), datetime(2016, 2, 29, 12, tzinfo=UTC), *turns(zone)]
    instants = [at + timedelta(minutes=15 * step) for at in near for step in range(-96, 49)]
    instants += [at + edge for at in instants[:] for edge in (-SECOND, timedelta(microseconds=-1))]
    found = local_days(np.array([micros(at) for at in instants], dtype=np.int64), name)
    wanted = [(local_day(at, zone) - date(1970, 1, 1)).days for at in instants]
    assert found.tolist() == wanted


def test_two_changes_within_a_week_are_both_in_the_table() -> None:
    """Recife, October 2000: summer time ended before a week was over."""
    table = offset_table("America/Recife")
    autumn = [
        from_micros(start).date()
        for start in table.starts[1:]
        if from_micros(start).year == 2000 and from_micros(start).month == 10
    ]
    assert autumn == [date(2000, 10, 8), date(2000, 10, 15)]
