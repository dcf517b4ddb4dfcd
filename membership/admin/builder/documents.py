"""Definitions that somebody pasted or uploaded: from text to documents."""

from __future__ import annotations

from typing import Any

from segmentation.domain.errors import Problem
from segmentation.domain.reading import Report, load_text
from segmentation.domain.reading.place import FALSES, INTEGER, TRUES, Raw, Scalar

MOST_BYTES = 1 << 20


def parsed(text: str) -> tuple[Any, tuple[Problem, ...]]:
    """The text as plain data, or what is wrong with its spelling (then None).

    Whole numbers and booleans become such, everything else keeps the text it was written with, so
    that a document read from it means the same.
    """
    report = Report()
    place = load_text(text, report, name="")
    if place is None or report.problems:
        return None, tuple(report.problems)
    return _plain(place.raw), ()


def _plain(raw: Raw) -> Any:
    if isinstance(raw, dict):
        return {name: _plain(child) for name, child in raw.items()}
    if isinstance(raw, list):
        return [_plain(child) for child in raw]
    return _scalar(raw)


def _scalar(scalar: Scalar) -> Any:
    if scalar.is_quoted:
        return scalar.text
    if scalar.is_null:
        return None
    if scalar.text in TRUES + FALSES:
        return scalar.text in TRUES
    if INTEGER.match(scalar.text) and len(scalar.text) <= 18:
        return int(scalar.text)
    return scalar.text
