"""Reading documents that this application wrote itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .catalog import read_entries
from .entries import Entry
from .loading import load_value
from .place import Report

SECTIONS = ("tags", "metrics", "layerings", "segments")


def read_stored(document: Mapping[str, Any]) -> tuple[Entry, ...]:
    """The entries of a document that this application wrote.

    Raises ValueError when it can't be read: that is damage, not an operator's mistake.
    """
    report = Report()
    root = load_value(document, report)
    entries = read_entries(root.fields(tuple(SECTIONS)) or {})
    if report.problems:
        first = report.problems[0]
        raise ValueError(f"stored definitions can't be read: {first.path}: {first.message}")
    return entries
