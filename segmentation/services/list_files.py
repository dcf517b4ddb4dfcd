"""Files with customer ids: a CSV with a column `customer_id`, or one id per line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.utils.translation import gettext as _

from segmentation.domain.errors import Problem, TierwiseError

COLUMN = "customer_id"
LONGEST_ID = 255
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file that is not blank: its id, or a code that says why it has none."""

    number: int
    customer_id: str
    problem: str | None
    raw: str


def read_ids(path: Path) -> Iterator[Line]:
    """The ids of a file, byte for byte, blank lines left out.

    A first line with `customer_id` among its cells is a header. Raises TierwiseError for a file
    that can't be read: `not_utf8`, `empty_file`, `missing_column` (several columns, no header).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            found = False
            for line in _lines(stream):
                found = True
                yield line
    except UnicodeDecodeError as error:
        message = _("The file is not UTF-8: save it as “CSV UTF-8”.")
        raise _refused("not_utf8", message) from error
    if not found:
        raise _refused("empty_file", _("The file is empty."))


def _lines(stream: Iterator[str]) -> Iterator[Line]:
    column = None
    for number, text in enumerate(stream, 1):
        raw = text.rstrip("\r\n")
        if not raw.strip():
            continue
        cells = _cells(raw)
        if column is None:
            names = [cell.strip().lower() for cell in cells or ()]
            if COLUMN in names:
                column = names.index(COLUMN)
                continue
            if cells is not None and len(cells) > 1:
                message = _("The file has several columns, but none is called customer_id.")
                raise _refused("missing_column", message)
            column = 0
        yield _line(number, cells, column, raw)


def _cells(raw: str) -> list[str] | None:
    """The cells of one line; None when it is no CSV. Ids have no line breaks."""
    try:
        return next(csv.reader([raw], strict=True))
    except (csv.Error, StopIteration):
        return None


def _line(number: int, cells: list[str] | None, column: int, raw: str) -> Line:
    if cells is None or len(raw) > _LONGEST_LINE:
        return Line(number, "", "bad_csv", raw[:_LONGEST_LINE])
    if len(cells) <= column:
        return Line(number, "", "column_count", raw)
    text = cells[column].strip()
    if not text:
        return Line(number, "", "missing", raw)
    if len(text) > LONGEST_ID:
        return Line(number, "", "too_long", raw)
    if "\x00" in text:
        return Line(number, "", "nul_character", raw)
    return Line(number, text, None, raw)


def _refused(code: str, message: str) -> TierwiseError:
    return TierwiseError(message, code=code, problems=(Problem("", code, message),))
