"""The fields of each source, and filters over them."""

from __future__ import annotations

from ..definitions import FieldTest, FieldType, Filter, FilterAll, FilterAny, FilterNot
from ..rules import MAX_DEPTH, MAX_LEAVES
from .operands import OperandType, read_operand
from .place import Place, Scalar, did_you_mean

FIELDS: dict[str, dict[str, FieldType]] = {
    "orders": {
        "amount": "money",
        "net_amount": "money",
        "discount": "money",
        "goods_amount": "money",
        "shipping_amount": "money",
        "stored_value_amount": "money",
        "points_amount": "money",
        "channel": "text",
        "currency": "text",
        "status": "text",
        "store_id": "text",
        "staff_id": "text",
        "is_promotion": "boolean",
        "payer_ref": "text",
        "recipient_ref": "text",
    },
    "order_lines": {
        "sku": "text",
        "category": "text",
        "quantity": "number",
        "amount": "money",
        "net_amount": "money",
        "discount": "money",
        "cost": "money",
        "is_durable": "boolean",
        "qualifies": "boolean",
        "channel": "text",
        "store_id": "text",
        "status": "text",
        "is_promotion": "boolean",
    },
    "events": {"name": "text"},
    "referrals": {},
}
PROPERTIES = "properties."
ORDERING = ("gt", "gte", "lt", "lte", "between")
_OPERANDS: dict[FieldType, OperandType] = {
    "money": "number",
    "number": "number",
    "text": "text",
    "boolean": "boolean",
}


def is_property(field: str) -> bool:
    """Whether the field is `properties.<key>` of an event."""
    return field.startswith(PROPERTIES) and len(field) > len(PROPERTIES)


def field_type(source: str, field: str, *, property_type: FieldType = "text") -> FieldType | None:
    """The type of a field of a source; None when there is no such field."""
    if source == "events" and is_property(field):
        return property_type
    return FIELDS[source].get(field)


def refuse_field(place: Place, source: str, field: str) -> None:
    """Report a field that the source does not have."""
    if source == "referrals":
        remedy = " Referrals have no fields."
    else:
        known = ["name", "properties.<key>"] if source == "events" else list(FIELDS[source])
        remedy = did_you_mean(field, known)
    place.refuse("unknown_field", f'No field "{field}" in {source}.{remedy}')


def read_type(place: Place) -> FieldType | None:
    """`type` of an event's property."""
    chosen = place.choice(("text", "number"))
    if chosen is None:
        return None
    return "number" if chosen == "number" else "text"


def read_filter(
    place: Place, *, source: str, property_type: FieldType, depth: int = 1
) -> Filter | None:
    """The filter at `place`, or None after reporting every problem in it, at its node.

    `property_type` is what the metric says about its properties; a test may say its own `type`.
    """
    node = _read_node(place, source, property_type, depth)
    if node is not None and _count(node) > MAX_LEAVES:
        place.refuse("too_many_leaves", f"More than {MAX_LEAVES} tests in one filter.")
        return None
    return node


def _count(node: Filter) -> int:
    if isinstance(node, FilterAll | FilterAny):
        return sum(_count(child) for child in node.children)
    return _count(node.child) if isinstance(node, FilterNot) else 1


def _read_node(place: Place, source: str, property_type: FieldType, depth: int) -> Filter | None:
    if not isinstance(place.raw, dict):
        place.refuse("wrong_type", f"Expected a filter node (a mapping), not {place.shown}.")
        return None
    if depth > MAX_DEPTH:
        place.refuse("too_deep", f"Nested deeper than {MAX_DEPTH} nodes.")
        return None
    kinds = [key for key in place.raw if key in ("all", "any", "not", "field")]
    if len(kinds) > 1:
        place.refuse("wrong_type", f'A node is one thing, not both "{kinds[0]}" and "{kinds[1]}".')
        return None
    if not kinds or kinds[0] == "field":
        return _read_test(place.pinned(), source, property_type)
    kind = kinds[0]
    fields = place.fields((kind,), required=(kind,))
    if fields is None or kind not in fields:
        return None
    if kind == "not":
        child = _read_node(fields[kind], source, property_type, depth + 1)
        return None if child is None else FilterNot(child)
    items = fields[kind].items()
    if items is None:
        return None
    read = [_read_node(item, source, property_type, depth + 1) for item in items]
    children = tuple(child for child in read if child is not None)
    if len(children) < len(read):
        return None
    return FilterAll(children) if kind == "all" else FilterAny(children)


def _read_test(node: Place, source: str, property_type: FieldType) -> FieldTest | None:
    fields = node.fields(("field", "cmp", "value", "type"), required=("field",))
    if fields is None or "field" not in fields:
        return None
    name = fields["field"].text()
    if name is None:
        return None
    type_ = field_type(source, name, property_type=_test_type(fields, property_type))
    if type_ is None:
        refuse_field(node, source, name)
        return None
    if "type" in fields:
        said = read_type(fields["type"]) if is_property(name) else None
        if not is_property(name):
            node.refuse("unknown_key", '"type" is only for properties of events; leave it out.')
        if said is None:
            return None
        type_ = said
    operand = read_operand(node, fields, _OPERANDS[type_])
    return None if operand is None else FieldTest(name, type_, operand.cmp, operand.value)


def _test_type(fields: dict[str, Place], property_type: FieldType) -> FieldType:
    """With `type: number` on the metric a property is a number where it is compared as one."""
    if property_type != "number":
        return "text"
    cmp, value = fields.get("cmp"), fields.get("value")
    if cmp is not None and isinstance(cmp.raw, Scalar) and cmp.raw.text in ORDERING:
        return "number"
    if value is not None and isinstance(value.raw, Scalar) and value.raw.is_number:
        return "number"
    return "text"
