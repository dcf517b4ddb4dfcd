"""Files for spreadsheets: no cell is a formula (case "formula injection in exports"), digits stay,
long lists go on, and memory does not grow."""

from __future__ import annotations

import csv
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segmentation.services.spreadsheets import (
    Heading,
    may_be_formula,
    open_table,
    safe_text,
    write_table,
)
from tests.fixtures.sheets import read_csv, read_xlsx

ZONE = ZoneInfo("Asia/Shanghai")
HEADING = Heading([("As of", datetime(2026, 3, 1, 16, tzinfo=UTC))], ["id", "text", "number"])
DANGEROUS = "=+-@\t\r＝＋－＠"
TEXTS = st.text(alphabet=st.one_of(st.characters(codec="utf-8"), st.sampled_from(DANGEROUS)))


@pytest.mark.parametrize("start", [*DANGEROUS, "\n", " =", "\u3000＝", "\u200b=", "﹦"])
def test_what_could_be_a_formula_is_quoted(start: str) -> None:
    text = f"{start}cmd|' /C calc'!A0"
    assert may_be_formula(text)
    assert safe_text(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "anna", "13812345678", "a=b", "李雷", "'=1", "1-2", "(+86)"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert safe_text(text) == text


@given(TEXTS)
def test_no_text_starts_a_formula_and_none_is_lost(text: str) -> None:
    safe = safe_text(text)
    assert safe[:1] not in tuple(DANGEROUS)
    assert safe in (text, f"'{text}")


@given(st.lists(TEXTS.filter(lambda text: "\0" not in text), min_size=3, max_size=3))
def test_csv_cells_come_back_and_none_is_a_formula(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    heading = Heading([("Name", texts[0])], ["a", "b", "c"])
    assert write_table(path, [texts], file_format="csv", heading=heading, zone=ZONE) == 1
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["Name", safe_text(texts[0])]
    assert rows[-1] == [safe_text(text) for text in texts]
    assert not [cell for row in rows for cell in row if cell[:1] in tuple(DANGEROUS) and cell]


@settings(max_examples=30)  # each writes a whole workbook
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_xlsx_has_texts_only(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    """`read_xlsx` refuses a sheet with any formula."""
    path = tmp_path_factory.mktemp("xlsx") / "t.xlsx"
    write_table(path, [texts], file_format="xlsx", heading=Heading([], ["a"]), zone=ZONE)
    ((titles, *_rows),) = read_xlsx(path)
    assert titles == ["a"]


def test_values_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    row = ["00123", True, Decimal("1234567890123456789.50")]
    more = [datetime(2026, 3, 1, 16, 30, tzinfo=UTC), date(1990, 5, 4), None]
    write_table(path, [row, more], file_format="csv", heading=HEADING, zone=ZONE)
    table = read_csv(path)
    assert table.lines == {"As of": "2026-03-02 00:00:00"}
    assert table.titles == ["id", "text", "number"]
    assert table.rows == [
        ["00123", "yes", "1234567890123456789.50"],
        ["2026-03-02 00:30:00", "1990-05-04", ""],
    ]


def test_values_in_xlsx(tmp_path: Path) -> None:
    """Ids keep their zeros, money is a number, more digits than a spreadsheet has are a text."""
    path = tmp_path / "t.xlsx"
    rows = [["00123", "=1+1", Decimal("12.50")], ["13812345678", None, Decimal("1" * 16)]]
    write_table(path, rows, file_format="xlsx", heading=HEADING, zone=ZONE)
    (sheet,) = read_xlsx(path)
    assert sheet[1] == ["id", "text", "number"]
    assert sheet[2] == ["00123", "=1+1", "12.50"]
    assert sheet[3] == ["13812345678", "", "1" * 16]


def test_a_list_longer_than_a_sheet_goes_on_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    heading = Heading([("Line", "x")], ["a", "b", "c"])
    with open_table(path, file_format="xlsx", heading=heading, zone=ZONE, rows_per_sheet=5) as file:
        for number in range(7):
            file.write([number, "x", "y"])
    sheets = read_xlsx(path)
    numbers = [[row[0] for row in sheet] for sheet in sheets]
    assert numbers == [["Line", "a", "0", "1"], ["a", "2", "3", "4", "5"], ["a", "6"]]


def test_a_broken_export_leaves_no_file(tmp_path: Path) -> None:
    def rows() -> Iterator[list[str]]:
        yield ["1", "2", "3"]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_table(tmp_path / "t.csv", rows(), file_format="csv", heading=HEADING, zone=ZONE)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file_format", ["csv", "xlsx"])
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, file_format: str) -> None:
    def peak(rows: int) -> int:
        tracemalloc.start()
        table = (["13812345678", "some text", Decimal("12.50")] for _ in range(rows))
        write_table(tmp_path / "t", table, file_format=file_format, heading=HEADING, zone=ZONE)  # type: ignore[arg-type]
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(10)  # what is loaded once
    assert peak(8_000) < peak(1_000) + 200_000
