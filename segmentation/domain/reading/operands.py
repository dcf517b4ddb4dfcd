"""What a comparison compares with: the table of types and cmps of the contract."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal, cast

from ..rules import (
    BOOLEAN_CMPS,
    DATE_CMPS,
    LAYER_CMPS,
    NUMBER_CMPS,
    TAG_CMPS,
    TEXT_CMPS,
    Cmp,
    Value,
)
from .place import Place, did_you_mean

OperandType = Literal["number", "text", "date", "boolean", "tag", "layer"]
CMPS: dict[OperandType, tuple[str, ...]] = {
    "number": NUMBER_CMPS,
    "text": TEXT_CMPS,
    "date": DATE_CMPS,
    "boolean": BOOLEAN_CMPS,
    "tag": TAG_CMPS,
    "layer": LAYER_CMPS,
}


@dataclass(frozen=True, slots=True)
class Operand:
    cmp: Cmp
    value: Value


def read_operand(node: Place, fields: dict[str, Place], type_: OperandType) -> Operand | None:
    """`cmp` and `value` of a leaf or a field test; None after reporting what is wrong.

    Codes: `missing_key`, `cmp_not_allowed`, `wrong_type`, `out_of_range`, `unknown_key`.
    """
    if "cmp" not in fields:
        node.refuse("missing_key", f'"cmp" is missing. Possible: {", ".join(CMPS[type_])}.')
        return None
    cmp = fields["cmp"].text(may_be_empty=True)
    if cmp is None:
        return None
    if cmp not in CMPS[type_]:
        fields["cmp"].refuse(
            "cmp_not_allowed",
            f'A {type_} can\'t be compared with "{cmp}".{did_you_mean(cmp, CMPS[type_])}',
        )
        return None
    given = fields.get("value")
    if cmp in ("is_set", "is_not_set"):
        if given is not None:
            given.refuse("unknown_key", f'"{cmp}" takes no "value"; leave it out.')
            return None
        return Operand(cast(Cmp, cmp), None)
    if given is None:
        node.refuse("missing_key", f'"value" is missing: "{cmp}" compares with something.')
        return None
    value = _value(given, cmp, type_)
    return None if value is None else Operand(cast(Cmp, cmp), value)


def _value(place: Place, cmp: str, type_: OperandType) -> Value:
    """None only after reporting."""
    if cmp == "between":
        return _pair(place, type_)
    if cmp in ("in", "not_in"):
        items = place.items(at_least=1)
        texts = None if items is None else [item.text(may_be_empty=True) for item in items]
        if texts is None or any(text is None for text in texts):
            return None
        return tuple(text for text in texts if text is not None)
    if type_ == "number":
        return place.number()
    if type_ == "date":
        return place.day()
    if type_ == "boolean":
        return place.boolean()
    return place.text(may_be_empty=True)


def _pair(place: Place, type_: OperandType) -> tuple[Decimal, Decimal] | tuple[date, date] | None:
    items = place.items()
    if items is None:
        return None
    if len(items) != 2:
        place.refuse("wrong_type", f'"between" takes two values [from, to], not {len(items)}.')
        return None
    if type_ == "number":
        numbers = (items[0].number(), items[1].number())
        if numbers[0] is None or numbers[1] is None:
            return None
        return (numbers[0], numbers[1]) if _rises(place, numbers[0] <= numbers[1]) else None
    days = (items[0].day(), items[1].day())
    if days[0] is None or days[1] is None:
        return None
    return (days[0], days[1]) if _rises(place, days[0] <= days[1]) else None


def _rises(place: Place, is_rising: bool) -> bool:
    if not is_rising:
        place.refuse("out_of_range", 'The first value of "between" is above the second; swap them.')
    return is_rising
