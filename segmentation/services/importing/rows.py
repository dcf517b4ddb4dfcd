"""JSON values of API rows as the texts a file would have."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

from segmentation.domain.facts import ColumnType, FactKind, ImportedGroup, column_problem
from segmentation.domain.facts_values import CellRefused

from .tag_cells import SEPARATOR

_NUMBERS: frozenset[ColumnType] = frozenset({"money", "quantity", "rate", "whole"})
_TEXTS: frozenset[ColumnType] = frozenset({"id", "text"})
_LARGEST_EXPONENT = 40  # a plain number this long is out of range anyway

Cells = Mapping[str, str | None]


def row_cells(
    row: Mapping[str, object], *, kind: FactKind, groups: Mapping[str, ImportedGroup]
) -> Cells:
    """The cells of a row; an empty text is missing, a key left out is absent. Raises CellRefused
    with unknown_column, unknown_group, derived_group or bad_type."""
    if not isinstance(row, Mapping):
        raise CellRefused("bad_type", "A row is a JSON object.")
    cells = {}
    for name, value in row.items():
        problem = column_problem(str(name), kind=kind, groups=groups)
        if problem is not None:
            raise CellRefused(*problem)
        column = kind.column(name)
        cells[name] = _cell(name, column.type if column else "tags", value) or None
    return cells


def _cell(name: str, type_: ColumnType, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        if not value.isascii():
            _refuse_half_characters(name, value)
        return value
    if isinstance(value, bool):
        if type_ == "boolean":
            return "true" if value else "false"
    elif isinstance(value, int):
        if type_ in _NUMBERS or type_ in _TEXTS:
            return _digits(name, Decimal(value))
    elif isinstance(value, Decimal):
        if type_ in _NUMBERS:
            return _digits(name, value)
    elif type_ == "json" and isinstance(value, Mapping):
        return _json(name, value)
    elif type_ == "tags" and isinstance(value, Sequence):
        values = [item for item in value if isinstance(item, str) and SEPARATOR not in item]
        if len(values) == len(value):
            return SEPARATOR.join(values)
    raise CellRefused("bad_type", f"{name}: not a {type(value).__name__} here.")


def _refuse_half_characters(name: str, text: str) -> None:
    """JSON escapes can spell halves of surrogate pairs, which no column of text can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise CellRefused("bad_text", f"{name}: Half a surrogate pair is no text.") from None


def _digits(name: str, number: Decimal) -> str:
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        raise CellRefused("out_of_range", f"{name}: The number is too large or too small.")
    return format(number, "f")


def _json(name: str, value: object) -> str:
    try:
        return _written(value)
    except (TypeError, ValueError, RecursionError):
        raise CellRefused("bad_json", f"{name}: Write one JSON object.") from None


def _written(value: object) -> str:
    """JSON with the digits of Decimals as they are, which the standard writer can't."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError
        pairs = (f"{json.dumps(key)}: {_written(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(_written, value)) + "]"
    return json.dumps(value, allow_nan=False)
