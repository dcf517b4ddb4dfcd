"""docs/algorithms/rules-and-windows.md claims nothing that no test computes or cites."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from tests.integration.rules_page import PAGE

HERE = Path(__file__).parent
CASE = r"[WMCV]\d\d"


def cited() -> set[str]:
    """Case ids that tests other than those of the page name."""
    others = [path for path in HERE.parent.rglob("*.py") if "rules_page" not in path.name]
    return {found for path in others for found in re.findall(rf"\b{CASE}\b", path.read_text())}


def read() -> set[tuple[str, ...]]:
    """The columns of the tables that the tests of the page read."""
    calls = [
        call
        for path in HERE.glob("test_rules_page_*.py")
        for call in re.findall(r"\btable\(([^()]*)\)", path.read_text())
    ]
    return {tuple(re.findall(r'"([^"]+)"', call)) for call in calls}


def test_every_case_is_computed_or_cited() -> None:
    text = PAGE.read_text()
    rows = re.findall(rf"^\| ({CASE}) \|", text, re.MULTILINE)
    prose = re.findall(rf"^- \*\*({CASE})\.\*\*", text, re.MULTILINE)
    assert len(rows) > 200
    assert len(prose) > 5
    assert set(prose) <= cited()
    heads = re.findall(r"^\| case \| (.*) \|$", text, re.MULTILINE)
    assert {tuple(head.split(" | ")) for head in heads} == read()
    # Whatever looks like a row of a case lies in a table of cases.
    assert len(re.findall(rf"^\|\s*{CASE}", text, re.MULTILINE)) == len(rows)


def test_numbers_are_unique_and_rise() -> None:
    text = PAGE.read_text()
    for letter in "WMCV":
        rows = re.findall(rf"^\| ({letter}\d\d) \|", text, re.MULTILINE)
        prose = re.findall(rf"^- \*\*({letter}\d\d)\.\*\*", text, re.MULTILINE)
        assert all(one < other for one, other in pairwise(rows))
        assert all(one < other for one, other in pairwise(prose))
        assert not set(rows) & set(prose)
