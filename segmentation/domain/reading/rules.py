"""Rule documents to rule trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ..dependencies import Ref
from ..rules import (
    ATTRS,
    BOOLEAN_ATTRS,
    DATE_ATTRS,
    MAX_DEPTH,
    MAX_LEAVES,
    TEXT_ATTRS,
    All,
    Any,
    AttrLeaf,
    BucketLeaf,
    LayerLeaf,
    Leaf,
    ListLeaf,
    MetricLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
    TierLeaf,
    leaves,
)
from .entries import Use
from .operands import OperandType, read_operand
from .place import Place, did_you_mean

COMBINATIONS = ("all", "any", "not")
LEAVES = ("metric", "tag", "attr", "layer", "segment", "list", "tier", "bucket")
LATER_LEAVES = ("score",)
PERSONAL_ATTRS = ("name", "phone", "email", "unionid", "external_userid")


@dataclass(frozen=True, slots=True)
class Scope:
    """Which leaves a rule may not have, and the sentence that says so."""

    refused: dict[str, str] = field(default_factory=dict)


SEGMENT_SCOPE = Scope()
TAG_SCOPE = Scope({"segment": "A tag's rule uses no segment: tags are evaluated before segments."})


def read_rule(place: Place, *, scope: Scope, uses: list[Use]) -> Node | None:
    """The rule at `place`, or None after reporting every problem in it.

    Appends what the leaves name to `uses`, also of a rule that is refused for another reason.
    Problems of a node carry the path of the node. Depth counts nodes, the leaf included.
    """
    node = _read_node(place, scope, uses, 1)
    if node is not None and len(leaves(node)) > MAX_LEAVES:
        place.refuse(
            "too_many_leaves", f"More than {MAX_LEAVES} leaves; move some into another segment."
        )
        return None
    return node


def _read_node(place: Place, scope: Scope, uses: list[Use], depth: int) -> Node | None:
    if not isinstance(place.raw, dict):
        place.refuse("wrong_type", f"Expected a rule node (a mapping), not {place.shown}.")
        return None
    if depth > MAX_DEPTH:
        place.refuse("too_deep", f"Nested deeper than {MAX_DEPTH} nodes; use a segment of its own.")
        return None
    possible = COMBINATIONS + LEAVES + LATER_LEAVES
    kinds = [key for key in place.raw if key in possible]
    if not kinds:
        place.refuse("missing_key", f"A rule node needs a key that says what it is.{_hint(place)}")
        return None
    if len(kinds) > 1:
        both = f'"{kinds[0]}" and "{kinds[1]}"'
        place.refuse("wrong_type", f"A rule node is one thing, not both {both}.")
        return None
    kind = kinds[0]
    if kind in scope.refused:
        place.refuse("forbidden_input", scope.refused[kind])
        return None
    if kind in LATER_LEAVES:
        place.refuse("not_available", f'The leaf "{kind}" is part of a later release.')
        return None
    if kind in COMBINATIONS:
        return _read_combination(place, kind, scope, uses, depth)
    return _READERS[kind](place, uses)


def _hint(place: Place) -> str:
    keys = list(place.raw) if isinstance(place.raw, dict) else []
    hints = (did_you_mean(key, COMBINATIONS + LEAVES + LATER_LEAVES) for key in keys)
    found = next((hint for hint in hints if "Did you mean" in hint), "")
    return found or f" Possible: {', '.join(COMBINATIONS + LEAVES)}."


def _read_combination(
    place: Place, kind: str, scope: Scope, uses: list[Use], depth: int
) -> Node | None:
    fields = place.fields((kind,), required=(kind,))
    if fields is None or kind not in fields:
        return None
    if kind == "not":
        child = _read_node(fields[kind], scope, uses, depth + 1)
        return None if child is None else Not(child)
    items = fields[kind].items()
    if items is None:
        return None
    read = [_read_node(item, scope, uses, depth + 1) for item in items]
    children = tuple(child for child in read if child is not None)
    if len(children) < len(read):
        return None
    return All(children) if kind == "all" else Any(children)


def _values(value: object) -> tuple[str, ...]:
    """The declared values that a leaf compares with."""
    if isinstance(value, str):
        return (value,)
    return value if isinstance(value, tuple) else ()


def _if_missing(fields: dict[str, Place]) -> bool | None:
    if "if_missing" not in fields:
        return False
    return None if fields["if_missing"].choice(("match",)) is None else True


def _read_comparison(place: Place, kind: str, type_: OperandType, uses: list[Use]) -> Leaf | None:
    node = place.pinned()
    fields = node.fields((kind, "cmp", "value", "if_missing"), required=(kind,))
    if fields is None or kind not in fields:
        return None
    name = fields[kind].text()
    operand = read_operand(node, fields, type_)
    if_missing = _if_missing(fields)
    if name is not None:
        named = () if operand is None or operand.cmp == "contains" else _values(operand.value)
        uses.append(Use(place.path, Ref(_KINDS[kind], name), named if kind != "metric" else ()))
    if name is None or operand is None or if_missing is None:
        return None
    if kind == "metric":
        return MetricLeaf(name, operand.cmp, operand.value, if_missing)
    if kind == "tag":
        return TagLeaf(name, operand.cmp, operand.value, if_missing)
    return LayerLeaf(name, operand.cmp, operand.value, if_missing)


_KINDS = {"metric": "metric", "tag": "tag", "layer": "layering"}


def _read_metric(place: Place, uses: list[Use]) -> Leaf | None:
    return _read_comparison(place, "metric", "number", uses)


def _read_tag(place: Place, uses: list[Use]) -> Leaf | None:
    return _read_comparison(place, "tag", "tag", uses)


def _read_layer(place: Place, uses: list[Use]) -> Leaf | None:
    return _read_comparison(place, "layer", "layer", uses)


def _read_attr(place: Place, uses: list[Use]) -> Leaf | None:
    node = place.pinned()
    fields = node.fields(("attr", "cmp", "value", "if_missing"), required=("attr",))
    if fields is None or "attr" not in fields:
        return None
    name = fields["attr"].text()
    if name is None:
        return None
    if name in PERSONAL_ATTRS:
        place.refuse("forbidden_input", f'No rule uses "{name}": it identifies a person.')
        return None
    if name not in ATTRS:
        place.refuse("unknown_field", f'No attribute "{name}".{did_you_mean(name, ATTRS)}')
        return None
    uses.append(Use(place.path, Ref("attr", name)))
    operand = read_operand(node, fields, attr_type(name))
    if_missing = _if_missing(fields)
    if operand is None or if_missing is None:
        return None
    # A missing boolean is false, so it is never missing.
    return AttrLeaf(name, operand.cmp, operand.value, if_missing and name not in BOOLEAN_ATTRS)


def attr_type(name: str) -> OperandType:
    """The type of an attribute, one of `ATTRS`."""
    if name in TEXT_ATTRS:
        return "text"
    if name in DATE_ATTRS:
        return "date"
    return "boolean" if name in BOOLEAN_ATTRS else "number"


def _read_membership(place: Place, kind: str, uses: list[Use]) -> str | None:
    """The name in `{kind: name, cmp: member}`."""
    fields = place.pinned().fields((kind, "cmp"), required=(kind, "cmp"))
    if fields is None or kind not in fields:
        return None
    name = fields[kind].text()
    if name is not None:
        uses.append(Use(place.path, Ref(kind, name)))
    cmp = fields["cmp"].choice(("member",), code="cmp_not_allowed") if "cmp" in fields else None
    return None if cmp is None else name


def _read_segment(place: Place, uses: list[Use]) -> Leaf | None:
    name = _read_membership(place, "segment", uses)
    return None if name is None else SegmentLeaf(name)


def _read_list(place: Place, uses: list[Use]) -> Leaf | None:
    name = _read_membership(place, "list", uses)
    return None if name is None else ListLeaf(name)


def _read_tier(place: Place, uses: list[Use]) -> Leaf | None:
    needed = ("tier", "cmp", "value")
    fields = place.pinned().fields(needed, required=needed)
    if fields is None:
        return None
    program = fields["tier"].text() if "tier" in fields else None
    tier = fields["value"].text() if "value" in fields else None
    if program is not None:
        uses.append(Use(place.path, Ref("program", program), () if tier is None else (tier,)))
    cmp = None
    if "cmp" in fields:
        cmp = fields["cmp"].choice(("at_least", "eq"), code="cmp_not_allowed")
    if program is None or tier is None or cmp is None:
        return None
    return TierLeaf(program, "eq" if cmp == "eq" else "at_least", tier)


def _read_bucket(place: Place, uses: list[Use]) -> Leaf | None:
    outer = place.pinned().fields(("bucket",), required=("bucket",))
    if outer is None or "bucket" not in outer:
        return None
    needed = ("salt", "from", "to")
    fields = outer["bucket"].fields(needed, required=needed)
    if fields is None:
        return None
    salt = fields["salt"].text() if "salt" in fields else None
    start = fields["from"].integer(0, 9_999) if "from" in fields else None
    end = fields["to"].integer(1, 10_000) if "to" in fields else None
    if salt is None or start is None or end is None:
        return None
    if start >= end:
        place.refuse("out_of_range", f'"from" ({start}) must be below "to" ({end}).')
        return None
    return BucketLeaf(salt, start, end)


_READERS: dict[str, Callable[[Place, list[Use]], Leaf | None]] = {
    "metric": _read_metric,
    "tag": _read_tag,
    "layer": _read_layer,
    "attr": _read_attr,
    "segment": _read_segment,
    "list": _read_list,
    "tier": _read_tier,
    "bucket": _read_bucket,
}
