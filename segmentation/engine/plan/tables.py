"""The tables a plan reads, as Ibis knows them, and the exact integers in their columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor
from typing import TypeVar, cast

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from segmentation.domain.definitions import FieldType, Source
from segmentation.engine.facts import property_columns
from segmentation.engine.schema import MIRROR_KINDS, MONEY_SCALE, PROPERTY_SCALE

WIDE = "decimal(38, 0)"  # exact integers wider than 64 bits; DuckDB raises when they overflow
_INT64 = 2**63
T = TypeVar("T")

_TYPES = {
    pa.int64(): "int64",
    pa.int32(): "int32",
    pa.bool_(): "boolean",
    pa.string(): "string",
    pa.date32(): "date",
}


def fact_table(kind: str, properties: Sequence[str] = ()) -> ir.Table:
    """One view of the run's facts."""
    columns = {field.name: _TYPES[field.type] for field in MIRROR_KINDS[kind].schema}
    if kind == "events":
        for key in properties:
            text, number = property_columns(key)
            columns[text] = "string"
            columns[number] = WIDE
    return ibis.table(columns, name=kind)


def field_scale(source: Source, field: str | None) -> int:
    """How many units of a field's column make one: 10,000 for money and quantities."""
    if field is not None and field.startswith("properties."):
        return PROPERTY_SCALE
    return MONEY_SCALE


def field_column(table: ir.Table, field: str, kind: FieldType | None) -> ir.Column:
    """The column of a field as written in a definition."""
    if field.startswith("properties."):
        text, number = property_columns(field.removeprefix("properties."))
        return table[number if kind in ("number", "money") else text]
    return table[field]


def fold(parts: Iterable[T], combine: Callable[[T, T], T], empty: T) -> T:
    """`combine` over all parts, halves first: a hundred leaves are a tree seven levels deep.

    A chain of that length would be too deep for what compiles it.
    """
    found = list(parts)
    while len(found) > 1:
        pairs = [combine(a, b) for a, b in zip(found[::2], found[1::2], strict=False)]
        found = pairs + found[len(pairs) * 2 :]
    return found[0] if found else empty


def wide(column: ir.Value) -> ir.Value:
    """A column as exact integers of up to 38 digits."""
    return column.cast(WIDE)


def integer(value: int) -> ir.Scalar:
    """An exact integer literal of the narrowest type that holds it."""
    if -_INT64 < value < _INT64:
        return ibis.literal(value, type="int64")
    return ibis.literal(Decimal(value), type=WIDE)


def compare_integers(column: ir.Value, cmp: str, value: object, scale: int) -> ir.BooleanValue:
    """`column / scale` compared with decimals, on integers alone.

    A bound between two integers is moved to the next one it can mean: x >= 0.5 is x >= 1.
    """
    if cmp == "between":
        low, high = cast("tuple[Decimal, Decimal]", value)
        return (column >= integer(ceil(_units(low, scale)))) & (
            column <= integer(floor(_units(high, scale)))
        )
    bound = _units(value, scale)
    match cmp:
        case "gte":
            return column >= integer(ceil(bound))
        case "gt":
            return column > integer(floor(bound))
        case "lte":
            return column <= integer(floor(bound))
        case "lt":
            return column < integer(ceil(bound))
        case "eq" | "ne":
            if bound.denominator != 1:
                # Null stays null, so that the leaf above can tell what a missing value means.
                return ibis.ifelse(column.isnull(), ibis.null("boolean"), cmp == "ne")
            equal = column == integer(int(bound))
            return equal if cmp == "eq" else ~equal
    raise ValueError(f"{cmp} compares no numbers")


def compare_fractions(
    numerator: ir.Value, denominator: ir.Value, cmp: str, value: object, scale: int
) -> ir.BooleanValue:
    """`numerator / (denominator * scale)` compared with decimals by cross-multiplication.

    The denominator is above zero or null.
    """
    if cmp == "between":
        low, high = cast("tuple[Decimal, Decimal]", value)
        return compare_fractions(numerator, denominator, "gte", low, scale) & compare_fractions(
            numerator, denominator, "lte", high, scale
        )
    bound = _units(value, scale)
    left = wide(numerator) * wide(integer(bound.denominator))
    right = wide(denominator) * wide(integer(bound.numerator))
    return compare_columns(left, cmp, right)


def compare_columns(left: ir.Value, cmp: str, right: ir.Value) -> ir.BooleanValue:
    match cmp:
        case "gte":
            return left >= right
        case "gt":
            return left > right
        case "lte":
            return left <= right
        case "lt":
            return left < right
        case "eq":
            return left == right
        case "ne":
            return left != right
    raise ValueError(f"{cmp} compares no numbers")


def _units(value: object, scale: int) -> Fraction:
    return Fraction(value) * scale  # type: ignore[call-overload,no-any-return]
