"""The numbered cases of docs/algorithms/portraits.md, read from the page and computed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from segmentation.analysis.group_figures import tgi
from segmentation.analysis.percentile_ranks import below_and_ties, percentile_rank
from segmentation.analysis.suppression import hidden_parts

PAGE = Path(__file__).resolve().parents[2] / "docs/algorithms/portraits.md"


def cases(columns: int) -> list[list[str]]:
    """The rows of the tables of cases with so many columns; each begins with its number."""
    rows = re.findall(r"^\| (G\d\d .*) \|$", PAGE.read_text(), re.MULTILINE)
    found = [[cell.strip() for cell in row.split("|")] for row in rows]
    return [row for row in found if len(row) == columns]


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_every_case_of_the_page_is_read() -> None:
    read = [row[0] for columns in (6, 4, 3) for row in cases(columns)]
    assert read == [f"G{at:02}" for at in (*range(1, 9), *range(11, 16), *range(21, 29))]


@pytest.mark.parametrize("row", cases(6), ids=lambda row: row[0])
def test_index_of_shares(row: Sequence[str]) -> None:
    """G01 to G08."""
    found = tgi(*(number(cell) for cell in row[1:5]))
    assert ("none" if found is None else str(found)) == row[5]


@pytest.mark.parametrize("row", cases(4), ids=lambda row: row[0])
def test_percentile_of_a_customer(row: Sequence[str]) -> None:
    """G11 to G15."""
    values = np.array([int(value) for value in row[1].split(", ")])
    below, ties = below_and_ties(values, row[1].split(", ").index(row[2]))
    found = percentile_rank(int(below.sum()), int(ties.sum()), len(values))
    assert found == Decimal(row[3])


@pytest.mark.parametrize("row", cases(3), ids=lambda row: row[0])
def test_small_parts(row: Sequence[str]) -> None:
    """G21 to G28."""
    parts = [int(part) for part in row[1].split(", ")]
    hidden = [part for part, hides in zip(parts, hidden_parts(parts), strict=True) if hides]
    assert (", ".join(map(str, hidden)) or "nothing") == row[2]
