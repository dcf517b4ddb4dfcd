"""Rules and filters as form fields: reading what a browser sends back into a document.

A node's fields are named after its place: `rule` is a root, `rule.0.1` the second child of its
first child. What a person typed is kept as it is, right or wrong: the checks of the definitions
judge the document, nothing here does. `widgets.py` draws the fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from segmentation.domain.reading.fields import FIELDS, is_property
from segmentation.domain.reading.operands import CMPS, OperandType
from segmentation.domain.reading.place import INTEGER
from segmentation.domain.reading.rules import attr_type
from segmentation.domain.rules import ATTRS

LEAVES = ("metric", "tag", "attr", "layer", "segment", "list", "tier", "bucket")
GROUPS = ("all", "any")
RAW = "raw"  # a node that fields can't show: kept as it is, edited as a document
MOST_CHILDREN = 200
MOST_DEPTH = 24
TIER_CMPS = ("at_least", "eq")
_OPERANDS: Mapping[str, OperandType] = {
    "money": "number",
    "number": "number",
    "text": "text",
    "boolean": "boolean",
}


class Fields(Protocol):
    """What a browser sent: a QueryDict."""

    def get(self, name: str, default: str, /) -> Any: ...
    def getlist(self, name: str, /) -> Any: ...
    def __contains__(self, name: object, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Grammar:
    """Which leaves a tree may have; `source` is that of a filter's fields."""

    leaves: tuple[str, ...]
    source: str = ""

    def blank(self) -> dict[str, Any]:
        """The leaf that is added first."""
        if self.leaves == ("field",):
            return {"field": "", "cmp": "eq", "value": ""}
        return {"metric": "", "cmp": "gte", "value": ""}


RULE = Grammar(LEAVES)
TAG_RULE = Grammar(tuple(kind for kind in LEAVES if kind != "segment"))


def filter_grammar(source: str) -> Grammar:
    """Filters over the fields of one source."""
    return Grammar(("field",), source)


def kind_of(node: Any) -> str:
    """What a node is: a group, `not`, a leaf kind, or RAW when fields can't show it whole."""
    if not isinstance(node, Mapping):
        return RAW
    for name in GROUPS:
        if name in node:
            fits = len(node) == 1 and isinstance(node[name], list)
            return name if fits and len(node[name]) <= MOST_CHILDREN else RAW
    if "not" in node:
        return "not" if len(node) == 1 else RAW
    kind = next((name for name in (*LEAVES, "field") if name in node), RAW)
    return kind if kind != RAW and _fits(kind, node) else RAW


def _fits(kind: str, leaf: Mapping[str, Any]) -> bool:
    """Whether a leaf holds nothing that its fields would lose."""
    if kind == "bucket":
        inner = leaf["bucket"]
        return (
            len(leaf) == 1
            and isinstance(inner, Mapping)
            and set(inner) <= {"salt", "from", "to"}
            and all(_is_plain(value) for value in inner.values())
        )
    if not isinstance(leaf[kind], str):
        return False
    if kind in ("segment", "list"):
        return set(leaf) <= {kind, "cmp"} and leaf.get("cmp", "member") == "member"
    known = {kind, "cmp", "value"}
    known |= {"type"} if kind == "field" else {"if_missing"} if kind != "tier" else set()
    if set(leaf) - known or leaf.get("if_missing", "match") != "match":
        return False
    value = leaf.get("value", "")
    if isinstance(value, list):
        if leaf.get("cmp") == "between":
            return len(value) == 2 and all(_is_plain(item) for item in value)
        listed = leaf.get("cmp") in ("in", "not_in")
        return listed and all(_is_plain(item) and str(item).strip() for item in value)
    if leaf.get("cmp") in ("in", "not_in", "between") and "value" in leaf:
        return False
    return _is_plain(value)


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        # A line of a form can't hold another line, nor end in blanks.
        return not any(character in value for character in "\r\n\x00")
    return isinstance(value, bool | int | float)


def operand_type(kind: str, subject: str, *, source: str, declared: str = "") -> OperandType | None:
    """What a leaf compares; None while that can't be told."""
    match kind:
        case "metric":
            return "number"
        case "tag":
            return "tag"
        case "layer":
            return "layer"
        case "attr":
            return attr_type(subject) if subject in ATTRS else None
        case "field":
            if source == "events" and is_property(subject):
                return "number" if declared == "number" else "text"
            found = FIELDS.get(source, {}).get(subject)
            return None if found is None else _OPERANDS[found]
    return None


def cmps_of(kind: str, type_: OperandType | None) -> tuple[str, ...]:
    """The comparisons to choose from."""
    if kind == "tier":
        return TIER_CMPS
    return CMPS[type_ or "text"]


def read_node(fields: Fields, name: str, *, grammar: Grammar, depth: int = 0) -> Any:
    """The node whose fields start with `name`; None when there is none."""
    kind = str(fields.get(f"{name}:kind", ""))
    if not kind or depth > MOST_DEPTH:
        return None
    if kind == RAW:
        return _read_json(str(fields.get(f"{name}:raw", "")))
    if kind == "not":
        child = read_node(fields, f"{name}.0", grammar=grammar, depth=depth + 1)
        return {"not": grammar.blank() if child is None else child}
    if kind in GROUPS:
        count = min(integer(fields.get(f"{name}:count", "")) or 0, MOST_CHILDREN)
        read = (
            read_node(fields, f"{name}.{position}", grammar=grammar, depth=depth + 1)
            for position in range(count)
        )
        return {kind: [child for child in read if child is not None]}
    if kind not in grammar.leaves:
        return grammar.blank()
    return _read_leaf(fields, name, kind, grammar)


def _read_json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _read_leaf(fields: Fields, name: str, kind: str, grammar: Grammar) -> dict[str, Any]:
    is_new = fields.get(f"{name}:was", "") not in ("", kind)  # another kind was chosen
    subject = str(fields.get(f"{name}:subject", "")).strip()
    if is_new and subject == fields.get(f"{name}:for", ""):
        subject = ""  # of the former kind; a name typed since then stays
    if kind in ("segment", "list"):
        return {kind: subject, "cmp": "member"}
    if kind == "bucket":
        ends = ("salt", "from", "to")
        texts = {end: str(fields.get(f"{name}:{end}", "")).strip() for end in ends}
        return {"bucket": {**texts, "from": whole(texts["from"]), "to": whole(texts["to"])}}
    declared = str(fields.get(f"{name}:type", ""))
    type_ = operand_type(kind, subject, source=grammar.source, declared=declared)
    possible = cmps_of(kind, type_)
    cmp = str(fields.get(f"{name}:cmp", ""))
    # Another subject may not be comparable in this way; what was typed wrong stays to be mended.
    if not cmp or (cmp not in possible and fields.get(f"{name}:for", "") != subject):
        cmp = "gte" if "gte" in possible else possible[0]
    leaf: dict[str, Any] = {kind: subject, "cmp": cmp}
    if cmp not in ("is_set", "is_not_set"):
        leaf["value"] = _read_value([] if is_new else _texts(fields, name), cmp, type_)
    if kind == "field":
        if declared and is_property(subject):
            leaf["type"] = declared
    elif kind != "tier" and fields.get(f"{name}:missing", ""):
        leaf["if_missing"] = "match"
    return leaf


def _texts(fields: Fields, name: str) -> list[str]:
    lines = [
        line
        for text in fields.getlist(f"{name}:lines")
        for line in str(text).replace("\r\n", "\n").split("\n")
        if line.strip()
    ]
    return [str(text) for text in fields.getlist(f"{name}:value")] + lines


def _read_value(texts: list[str], cmp: str, type_: OperandType | None) -> Any:
    if type_ in ("number", "date"):
        texts = [text.strip() for text in texts]
    if cmp == "between":
        return [*texts, "", ""][:2]
    if cmp in ("in", "not_in"):
        return list(dict.fromkeys(text for text in texts if text.strip()))
    first = texts[0] if texts else ""
    if type_ == "boolean":
        return first != "false"
    return first


def integer(text: Any) -> int | None:
    """A whole number that somebody typed; None for anything else."""
    typed = str(text).strip()
    return int(typed) if INTEGER.match(typed) and len(typed) <= 18 else None


def whole(text: Any) -> int | str:
    """The number, or what was typed instead of one."""
    found = integer(text)
    return str(text).strip() if found is None else found
