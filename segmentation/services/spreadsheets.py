"""Tables as files that spreadsheets open: CSV and XLSX, written as a stream.

Guarantee: memory does not grow with the number of rows, and no text cell is ever taken for a
formula, whoever typed it (case "formula injection in exports"). In CSV such a text gets an
apostrophe in front; in XLSX every text is stored as a text, and such a one is marked as quoted, so
that saving it as CSV later is harmless too.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol
from zoneinfo import ZoneInfo

import xlsxwriter
from django.utils.translation import gettext as _

Cell = str | int | Decimal | bool | date | datetime | None
Row = Sequence[Cell]
FileFormat = Literal["csv", "xlsx"]
FORMATS: tuple[FileFormat, ...] = ("csv", "xlsx")

ROWS_PER_SHEET = 1_048_576  # what a worksheet can hold
_LONGEST_TEXT = 32_767  # of a cell
_DIGITS = 15  # more than these a spreadsheet rounds
# Full-width and small forms too: Chinese and Japanese versions read them like the plain ones.
_STARTS_FORMULA = frozenset("=+-@＝＋－＠﹦﹢﹣﹫")
_SPLITS_CELLS = frozenset("\t\r\n")


def may_be_formula(text: str) -> bool:
    """Whether a spreadsheet could take this text for a formula or a command."""
    if text[:1] in _SPLITS_CELLS and text:
        return True
    first = next((sign for sign in text if sign.isprintable() and not sign.isspace()), "")
    return first in _STARTS_FORMULA


def safe_text(text: str) -> str:
    """The text, with an apostrophe in front when a spreadsheet could take it for a formula."""
    return f"'{text}" if may_be_formula(text) else text


@dataclass(frozen=True, slots=True)
class Heading:
    """What stands above the rows: lines of a name and a value, then the columns' titles."""

    lines: Sequence[tuple[str, Cell]]
    titles: Sequence[str]


class TableFile(Protocol):
    """An open file that takes one row after the other."""

    def write(self, row: Row) -> None: ...


@contextmanager
def open_table(
    path: Path,
    *,
    file_format: FileFormat,
    heading: Heading,
    zone: ZoneInfo,
    rows_per_sheet: int = ROWS_PER_SHEET,
) -> Iterator[TableFile]:
    """A file to write rows into; it is at `path` when the block ends, whole, or not at all.

    Times are written as local times of `zone`. XLSX goes on with a further sheet, titles repeated,
    after `rows_per_sheet` rows.
    """
    draft = path.with_name(f".{path.name}.part")
    try:
        if file_format == "csv":
            with draft.open("w", encoding="utf-8-sig", newline="") as stream:
                yield _Csv(stream, heading, zone)
                stream.flush()
                os.fsync(stream.fileno())
        else:
            with _Xlsx(draft, heading, zone, rows_per_sheet=rows_per_sheet) as workbook:
                yield workbook
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_table(
    path: Path,
    rows: Iterable[Row],
    *,
    file_format: FileFormat,
    heading: Heading,
    zone: ZoneInfo,
) -> int:
    """Write all rows; returns how many there were."""
    count = 0
    with open_table(path, file_format=file_format, heading=heading, zone=zone) as file:
        for row in rows:
            file.write(row)
            count += 1
    return count


class _Csv:
    """UTF-8 with the mark Excel needs to read it as such, lines ended as RFC 4180 says."""

    def __init__(self, stream: Iterable[str], heading: Heading, zone: ZoneInfo) -> None:
        self._writer = csv.writer(stream)  # type: ignore[arg-type]
        self._zone = zone
        for line in heading.lines:
            self.write(line)
        if heading.lines:
            self._writer.writerow(())
        self.write(heading.titles)

    def write(self, row: Row) -> None:
        self._writer.writerow([self._text(cell) for cell in row])

    def _text(self, cell: Cell) -> str:
        match cell:
            case None:
                return ""
            case bool():
                return _("yes") if cell else _("no")
            case str():
                return safe_text(cell)
            case Decimal():
                return format(cell, "f")
            case datetime():
                return f"{cell.astimezone(self._zone):%Y-%m-%d %H:%M:%S}"
            case date():
                return cell.isoformat()
        return str(cell)


class _Xlsx:
    """Rows leave memory as soon as the next one begins (XlsxWriter's constant memory)."""

    def __init__(
        self, path: Path, heading: Heading, zone: ZoneInfo, *, rows_per_sheet: int
    ) -> None:
        self._book = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                "tmpdir": str(path.parent),  # not the machine's folder for everybody
                "strings_to_formulas": False,
                "strings_to_numbers": False,
                "strings_to_urls": False,
            },
        )
        self._heading, self._zone, self._rows_per_sheet = heading, zone, rows_per_sheet
        self._bold = self._book.add_format({"bold": True})
        self._text = self._book.add_format({"num_format": "@"})
        self._quoted = self._book.add_format({"num_format": "@", "quote_prefix": True})
        self._time = self._book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self._date = self._book.add_format({"num_format": "yyyy-mm-dd"})
        self._sheets = 0
        self._begin_sheet()

    def __enter__(self) -> _Xlsx:
        return self

    def __exit__(self, *_error: object) -> None:
        self._book.close()

    def _begin_sheet(self) -> None:
        self._sheets += 1
        name = _("Data") if self._sheets == 1 else f"{_('Data')} {self._sheets}"
        self._sheet = self._book.add_worksheet(name)
        self._sheet.set_column(0, len(self._heading.titles), 20)
        self._next = 0
        for line in self._heading.lines if self._sheets == 1 else ():
            self._put(line)
        self._next += bool(self._next)
        for column, title in enumerate(self._heading.titles):
            self._sheet.write_string(self._next, column, title, self._bold)
        self._next += 1

    def write(self, row: Row) -> None:
        if self._next >= self._rows_per_sheet:
            self._begin_sheet()
        self._put(row)

    def _put(self, row: Row) -> None:
        for column, cell in enumerate(row):
            self._cell(self._next, column, cell)
        self._next += 1

    def _cell(self, row: int, column: int, cell: Cell) -> None:
        sheet = self._sheet
        match cell:
            case None | "":
                return
            case bool():
                sheet.write_string(row, column, _("yes") if cell else _("no"))
            case int() | Decimal() if _is_exact(cell):
                sheet.write_number(row, column, cell)
            case datetime():
                local = cell.astimezone(self._zone).replace(tzinfo=None, microsecond=0)
                if local.year >= 1900:
                    sheet.write_datetime(row, column, local, self._time)
                else:
                    sheet.write_string(row, column, local.isoformat(" "), self._text)
            case date() if cell.year >= 1900:
                sheet.write_datetime(row, column, cell, self._date)
            case _:
                text = format(cell, "f") if isinstance(cell, Decimal) else str(cell)
                style = self._quoted if may_be_formula(text) else self._text
                sheet.write_string(row, column, text[:_LONGEST_TEXT], style)


def _is_exact(number: int | Decimal) -> bool:
    """Whether a spreadsheet keeps every digit."""
    return len(Decimal(number).normalize().as_tuple().digits) <= _DIGITS
