"""Values of command-line arguments, and files that are complete or not there."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from django.conf import settings

from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.windows import local_midnight

# Room on both sides for windows, time zones and validities.
_YEARS = range(2, 9990)


def instant(text: str, *, path: str) -> datetime:
    """An ISO time; without offset in the project's zone, a date alone is its local midnight.

    In UTC. Raises TierwiseError for anything else, and outside the years 2 to 9989.
    """
    try:
        found = _instant(text, path=path).astimezone(UTC)
        if found.year in _YEARS:
            return found
    except OverflowError:
        pass
    message = f"{text} lies outside the years {_YEARS[0]} to {_YEARS[-1]}"
    problem = Problem(path, "out_of_range", message)
    raise TierwiseError("The arguments are not valid.", problems=(problem,))


def _instant(text: str, *, path: str) -> datetime:
    zone = ZoneInfo(settings.TIME_ZONE)
    try:
        if len(text) == 10:
            return local_midnight(date.fromisoformat(text), zone)
        parsed = datetime.fromisoformat(text)
    except ValueError:
        problem = Problem(path, "wrong_type", f"{text!r} is no ISO time such as 2018-01-01T00:00")
        raise TierwiseError("The arguments are not valid.", problems=(problem,)) from None
    if parsed.tzinfo is not None:
        return parsed
    local = parsed.replace(tzinfo=zone)
    if local.astimezone(ZoneInfo("UTC")).astimezone(zone).replace(tzinfo=None) != parsed:
        problem = Problem(path, "nonexistent_time", f"{text} does not exist in {zone.key}")
        raise TierwiseError("The arguments are not valid.", problems=(problem,))
    return local


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file whole or not at all; cells that a spreadsheet would run are escaped.

    What is no ordinary file, such as /dev/stdout, is refused: it would be replaced by one.
    """
    scratch = path.with_name(f".{path.name}.writing")
    try:
        if path.exists() and not path.is_file():
            raise TierwiseError(f"{path} can't be written: it is no ordinary file")
        with scratch.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(header)
            for row in rows:
                writer.writerow([_safe(cell) for cell in row])
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise TierwiseError(f"{path} can't be written: {error.strerror}") from error


def _safe(cell: object) -> object:
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return "" if cell is None else cell
