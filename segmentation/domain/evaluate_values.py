"""Comparing one present value, and reading fields of facts. Missing is None throughout."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import cast

from .definitions import FieldTest, FieldType, Filter, FilterAll, FilterAny, FilterNot
from .history import Json
from .rules import Cmp, Value

Present = Fraction | str | bool | date
Field = Fraction | str | bool | None

# What counts as a decimal number in the text of a property: at most 18 digits before and 9 after
# the point (what the engine computes with exactly), no exponent, no blanks.
DECIMAL_TEXT = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")


def compare(actual: Present, cmp: Cmp, value: Value) -> bool:
    """The verdict of `actual cmp value` for a value that is present."""
    match cmp:
        case "is_set":
            return True
        case "is_not_set":
            return False
        case "eq":
            return actual == _exact(value)
        case "ne":
            return actual != _exact(value)
        case "in":
            return actual in cast("tuple[str, ...]", value)
        case "not_in":
            return actual not in cast("tuple[str, ...]", value)
        case "contains":
            return cast(str, value) in cast(str, actual)
        case "between":
            low, high = cast("tuple[Decimal, Decimal]", value)
            return _ordered(low) <= _ordered(actual) <= _ordered(high)
        case "gt":
            return _ordered(actual) > _ordered(value)
        case "gte":
            return _ordered(actual) >= _ordered(value)
        case "lt":
            return _ordered(actual) < _ordered(value)
        case "lte":
            return _ordered(actual) <= _ordered(value)
        case _:
            raise ValueError(f"{cmp} compares no value")


def _exact(value: Value) -> object:
    return Fraction(value) if isinstance(value, Decimal) else value


def _ordered(value: object) -> Fraction:
    """A number, or a date as its day number, so that both order as fractions."""
    if isinstance(value, date):
        return Fraction(value.toordinal())
    if isinstance(value, Decimal | Fraction):
        return Fraction(value)
    raise TypeError(f"{value!r} has no order")


def matches(test: Filter, fields: Mapping[str, object]) -> bool:
    """Whether a fact, given by its fields as written in the definition, passes a filter."""
    match test:
        case FilterAll(children):
            return all(matches(child, fields) for child in children)
        case FilterAny(children):
            return any(matches(child, fields) for child in children)
        case FilterNot(child):
            return not matches(child, fields)
        case FieldTest():
            actual = typed_field(fields, test.field, test.type)
            if actual is None:
                return test.cmp == "is_not_set"
            return compare(actual, test.cmp, test.value)


def typed_field(fields: Mapping[str, object], name: str, kind: FieldType | None) -> Field:
    """A field as its type: numbers exact, empty text and what is no number missing, a missing
    boolean false."""
    raw = fields.get(name)
    match kind:
        case "boolean":
            return bool(raw)
        case "text":
            return str(raw) if raw not in (None, "") else None
        case _:
            return _number(raw)


def _number(raw: object) -> Fraction | None:
    if isinstance(raw, Decimal | Fraction) or (isinstance(raw, int) and not isinstance(raw, bool)):
        return Fraction(raw)
    if isinstance(raw, str) and DECIMAL_TEXT.fullmatch(raw):
        return Fraction(raw)
    return None


def property_text(value: Json) -> str | None:
    """The text of an event's property: texts as they are, numbers and booleans as JSON writes
    them, objects and lists as compact JSON; null is missing."""
    match value:
        case None:
            return None
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case Decimal():
            return format(value, "f")
        case int():
            return str(value)
        case _:
            return _compact(value)


def _compact(value: Json) -> str:
    if isinstance(value, Mapping):
        members = (f"{json.dumps(k, ensure_ascii=False)}:{_compact(v)}" for k, v in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, tuple):
        return "[" + ",".join(_compact(child) for child in value) + "]"
    if value is None:
        return "null"
    return (
        json.dumps(value, ensure_ascii=False)
        if isinstance(value, str)
        else str(property_text(value))
    )
