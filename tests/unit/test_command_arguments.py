"""Times on the command line, and files that commands write."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.test import override_settings

from segmentation.domain.errors import TierwiseError
from segmentation.management.arguments import instant, write_csv

SPRING = datetime(2018, 3, 11, 7, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2018-01-01", datetime(2018, 1, 1, 5, 0, tzinfo=UTC)),
        ("2018-03-11T03:00", SPRING),
        ("2018-03-11 15:00+08:00", SPRING),
        ("2018-11-04T01:30", datetime(2018, 11, 4, 5, 30, tzinfo=UTC)),
        ("0002-01-02", datetime(2, 1, 2, 4, 56, 2, tzinfo=UTC)),
        ("9989-12-31", datetime(9989, 12, 31, 5, 0, tzinfo=UTC)),
    ],
)
def test_a_time_without_offset_is_the_zones(text: str, expected: datetime) -> None:
    """S12: an ambiguous time is the earlier, a date alone is local midnight."""
    with override_settings(TIME_ZONE="America/New_York"):
        assert instant(text, path="/as_of") == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "wrong_type"),
        ("yesterday", "wrong_type"),
        ("2018-13-01", "wrong_type"),
        ("2018-03-11T02:30", "nonexistent_time"),
        ("0001-01-01", "out_of_range"),
        ("0001-01-01T00:00:00+14:00", "out_of_range"),
        ("9999-12-31", "out_of_range"),
        ("9999-12-31T23:59:59-12:00", "out_of_range"),
    ],
)
def test_a_time_that_cannot_be_stored_is_refused(text: str, code: str) -> None:
    """S06: a run with an as-of that nobody can read again would stop every later one."""
    with override_settings(TIME_ZONE="America/New_York"), pytest.raises(TierwiseError) as refused:
        instant(text, path="/as_of")
    (problem,) = refused.value.problems
    assert (problem.path, problem.code) == ("/as_of", code)


def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(TierwiseError, match="no ordinary file"):
        write_csv(pipe, ["a"], [["1"]])
    assert list(tmp_path.iterdir()) == [pipe]
    assert pipe.is_fifo()


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TierwiseError, match="can't be written: Not a directory"):
        write_csv(tmp_path / "file" / "members.csv", ["a"], [["1"]])


def test_an_export_is_written_whole_and_harmless(tmp_path: Path) -> None:
    place = tmp_path / "members.csv"
    write_csv(place, ["customer_id", "until"], [["=1+1", None], ["C,1", "2018"]])
    assert place.read_text() == 'customer_id,until\n\'=1+1,\n"C,1",2018\n'
    assert list(tmp_path.iterdir()) == [place]
