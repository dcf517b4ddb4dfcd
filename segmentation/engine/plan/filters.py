"""Filters of facts: two-valued, a missing field never matches except `is_not_set`."""

from __future__ import annotations

from operator import and_, or_

import ibis
import ibis.expr.types as ir

from segmentation.domain.definitions import (
    FieldTest,
    Filter,
    FilterAll,
    FilterAny,
    FilterNot,
    Source,
)

from .tables import compare_integers, field_column, field_scale, fold


def filter_expression(table: ir.Table, source: Source, test: Filter) -> ir.BooleanValue:
    """True exactly for the facts that pass; never null."""
    match test:
        case FilterAll(children):
            parts = (filter_expression(table, source, child) for child in children)
            return fold(parts, and_, ibis.literal(True))
        case FilterAny(children):
            parts = (filter_expression(table, source, child) for child in children)
            return fold(parts, or_, ibis.literal(False))
        case FilterNot(child):
            return ~filter_expression(table, source, child)
        case FieldTest():
            return _test(table, source, test)


def _test(table: ir.Table, source: Source, test: FieldTest) -> ir.BooleanValue:
    column = field_column(table, test.field, test.type)
    if test.cmp == "is_set":
        return column.notnull()
    if test.cmp == "is_not_set":
        return column.isnull()
    if test.type == "boolean":
        present = column.fill_null(False)
        same = present if test.value else ~present
        return same if test.cmp == "eq" else ~same
    if test.type == "text":
        return compare_text(column, test.cmp, test.value).fill_null(False)
    scale = field_scale(source, test.field)
    return compare_integers(column, test.cmp, test.value, scale).fill_null(False)


def compare_text(column: ir.StringColumn, cmp: str, value: object) -> ir.BooleanValue:
    """Case-sensitive; null where the column is."""
    match cmp:
        case "eq":
            return column == value
        case "ne":
            return column != value
        case "in":
            return column.isin(list(value))  # type: ignore[call-overload]
        case "not_in":
            return ~column.isin(list(value))  # type: ignore[call-overload]
        case "contains":
            return column.contains(value)
    raise ValueError(f"{cmp} compares no text")
