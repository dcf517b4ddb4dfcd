"""Columns read at once give what the reader of single cells gives (S12: zones, both DST days)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segmentation.domain.facts_values import CellRefused, read_time
from segmentation.services.importing import wall_times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = (
    "Asia/Shanghai",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kiritimati",
    "Asia/Kathmandu",
    "America/Havana",
    "Europe/Dublin",
    "Africa/Casablanca",
    "UTC",
)
zones = st.sampled_from([ZoneInfo(name) for name in ZONES])
# Wall times near changes of the clock: quarters of hours in March to April and October to November.
walls = st.builds(
    lambda start, days, quarters: start + timedelta(days=days, minutes=15 * quarters),
    st.sampled_from(
        [datetime(year, month, 1) for year in (1945, 1986, 2011, 2018, 2024, 2050) for month in (3, 10, 12)]  # noqa: DTZ001, E501
    ),
    st.integers(0, 61),
    st.integers(0, 95),
)  # fmt: skip
texts = st.one_of(
    walls.map(lambda wall: wall.isoformat()),
    walls.map(lambda wall: wall.isoformat(" ", "minutes")),
    walls.map(lambda wall: wall.date().isoformat()),
    st.tuples(walls, st.sampled_from(["Z", "+08:00", "-0330", "+14:00", ".5Z", ".123456789"])).map(
        lambda pair: pair[0].isoformat() + pair[1]
    ),
    st.from_regex(r"(19|20|99|00)[0-9]{2}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?)?Z?",
                  fullmatch=True),
    st.sampled_from(["", "2024-02-29", "2023-02-29", "2024-06-31T00:00", "２024-01-01", "2024-1-1",
                     "9999-12-31T23:59:59", "0001-01-01", "2024-01-01T24:00",
                     "2024-01-01T10:00.5"]),
)  # fmt: skip


@settings(deadline=None)
@given(zones, st.lists(texts, min_size=1, max_size=30))
@example(ZoneInfo("America/Sao_Paulo"), ["2018-11-04", "2018-11-04T00:30", "2018-02-18"])
@example(ZoneInfo("Pacific/Apia"), ["2011-12-30", "2011-12-30T12:00", "2011-12-31"])
@example(ZoneInfo("America/Havana"), ["2024-11-03", "2024-11-03T00:30", "2024-03-10"])
def test_columns_and_cells_agree(zone: ZoneInfo, cells: list[str]) -> None:
    micros, found = wall_times.instants(pa.array(cells, pa.string()), zone=zone)
    for text, micro, is_found in zip(cells, micros.tolist(), found.tolist(), strict=True):
        if is_found:
            assert EPOCH + timedelta(microseconds=micro) == read_time(text, zone=zone), text


@settings(deadline=None)
@given(zones, walls)
def test_from_wall_is_what_the_zone_says(zone: ZoneInfo, wall: datetime) -> None:
    naive = np.array([(wall - datetime(1970, 1, 1)) // timedelta(microseconds=1)])  # noqa: DTZ001
    micros, exists = wall_times.from_wall(naive, zone=zone)
    if exists[0]:
        expected = read_time(wall.isoformat(), zone=zone)
        assert EPOCH + timedelta(microseconds=int(micros[0])) == expected
    else:
        with pytest.raises(CellRefused) as refused:
            read_time(wall.isoformat(), zone=zone)
        assert refused.value.code == "nonexistent_time"


def test_ordinary_texts_take_the_fast_path() -> None:
    """Else a million rows would be read one by one."""
    ordinary = ["2024-01-31", "2024-12-01T10:00", "2024-04-30 10:00:00", "2024-06-01T10:00:00.5",
                "2024-06-01T10:00:00Z", "2024-06-01 10:00:00.123+08:00"]  # fmt: skip
    _, found = wall_times.instants(pa.array(ordinary), zone=ZoneInfo("America/New_York"))
    assert found.all()
