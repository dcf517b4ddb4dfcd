"""What a browser sends about one definition, as a document. Right or wrong, nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from segmentation.domain.reading.fields import FIELDS, is_property
from segmentation.domain.reading.metrics import NUMERIC_FNS, SOURCES

from .nodes import RULE, TAG_RULE, Fields, Grammar, filter_grammar, integer, read_node, whole

KINDS = ("segment", "metric", "tag", "layering")  # programs are edited as documents only
MOST_ROWS = 200
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "segment": ("key", "label", "purpose", "visibility", "rule"),
    "metric": (
        "key", "label", "unit", "value_kind", "source", "aggregate", "window", "time",
        "matured_days", "filter", "formula",
    ),
    "tag": ("group", "label", "exclusive", "sensitive", "public", "values", "rules"),
    "layering": ("key", "label", "metric", "cuts", "layers"),
}  # fmt: skip


def extras(kind: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """What a document says that the form has no field for; carried along, never dropped."""
    return {name: value for name, value in document.items() if name not in _KNOWN[kind]}


def read_definition(kind: str, fields: Fields) -> dict[str, Any]:
    """The document that the form of a kind describes."""
    document = {
        "segment": _read_segment,
        "metric": _read_metric,
        "tag": _read_tag,
        "layering": _read_layering,
    }[kind](fields)
    try:
        carried = json.loads(_text(fields, "extras") or "{}")
    except ValueError:
        carried = {}
    known = {} if not isinstance(carried, dict) else extras(kind, carried)
    return {**document, **known}


def grammar_of(kind: str, root: str, document: Mapping[str, Any]) -> Grammar:
    """Which leaves the tree at `root` may have."""
    if kind == "metric":
        return filter_grammar(str(document.get("source", "")))
    return TAG_RULE if kind == "tag" else RULE


def _text(fields: Fields, name: str) -> str:
    return str(fields.get(name, "")).strip()


def _common(fields: Fields, key_name: str) -> dict[str, Any]:
    label = {"en": _text(fields, "label_en"), "zh-hans": _text(fields, "label_zh")}
    named = {language: text for language, text in label.items() if text}
    document: dict[str, Any] = {key_name: _text(fields, "key")}
    return {**document, "label": named} if named else document


def _read_segment(fields: Fields) -> dict[str, Any]:
    return {
        **_common(fields, "key"),
        "purpose": _text(fields, "purpose"),
        "visibility": _text(fields, "visibility"),
        "rule": read_node(fields, "rule", grammar=RULE) or {"all": []},
    }


def _read_metric(fields: Fields) -> dict[str, Any]:
    document = {**_common(fields, "key"), "unit": _text(fields, "unit")}
    if value_kind := _text(fields, "value_kind"):
        document["value_kind"] = value_kind
    if _text(fields, "mode") == "formula":
        return {**document, "formula": {"sum": _read_terms(fields)}}
    source = _text(fields, "source") or SOURCES[0]
    document |= {
        "source": source,
        "aggregate": _read_aggregate(fields, source),
        "window": _read_window(fields),
    }
    if source in ("orders", "order_lines") and (time := _text(fields, "time")):
        document["time"] = time
    if matured := _text(fields, "matured_days"):
        document["matured_days"] = whole(matured)
    tree = read_node(fields, "filter", grammar=filter_grammar(source))
    if tree is not None and source != "referrals":
        document["filter"] = tree
    return document


def _read_terms(fields: Fields) -> list[dict[str, Any]]:
    count = min(integer(fields.get("terms", "")) or 0, MOST_ROWS)
    terms = []
    for position in range(count):
        term = {"metric": _text(fields, f"term.{position}:metric")}
        term["times"] = _text(fields, f"term.{position}:times") or "1"
        if cap := _text(fields, f"term.{position}:cap"):
            term["cap"] = cap
        terms.append(term)
    return terms


def _read_aggregate(fields: Fields, source: str) -> dict[str, Any]:
    fn = _text(fields, "fn") or "count"
    aggregate: dict[str, Any] = {"fn": fn}
    if fn in NUMERIC_FNS or fn == "count_distinct":
        name = _text(fields, "field")
        aggregate["field"] = name
        if source == "events" and is_property(name):
            declared = _text(fields, "field_type")
            aggregate["type"] = declared or ("number" if fn in NUMERIC_FNS else "text")
    if fn == "share":
        grammar = filter_grammar(source)
        aggregate["where"] = read_node(fields, "where", grammar=grammar) or {
            "all": [grammar.blank()]
        }
    within = _text(fields, "converted_within_days")
    if within and source == "referrals" and fn == "count":
        aggregate["converted_within_days"] = whole(within)
    return aggregate


def _read_window(fields: Fields) -> dict[str, Any]:
    kind = _text(fields, "window") or "days"
    if kind == "all":
        return {"all": True}
    if kind == "calendar":
        back = whole(_text(fields, "offset") or "0")
        offset = -back if isinstance(back, int) and back > 0 else back
        return {"calendar": _text(fields, "calendar") or "month", "offset": offset}
    window: dict[str, Any] = {kind: whole(_text(fields, "count"))}
    if kind in ("days", "months"):
        window["to_now"] = bool(fields.get("to_now", ""))
    return window


def _read_tag(fields: Fields) -> dict[str, Any]:
    document: dict[str, Any] = _common(fields, "group")
    for flag in ("exclusive", "sensitive", "public"):
        document[flag] = bool(fields.get(flag, ""))
    if _text(fields, "mode") != "rules":
        lines = str(fields.get("values", "")).replace("\r\n", "\n").split("\n")
        return {**document, "values": [line for line in lines if line.strip()]}
    count = min(integer(fields.get("rules", "")) or 0, MOST_ROWS)
    rules = []
    for position in range(count):
        tree = read_node(fields, f"rule_{position}", grammar=TAG_RULE)
        value = str(fields.get(f"rule_{position}:value_of", ""))
        rules.append({"value": value, "rule": {"all": []} if tree is None else tree})
    return {**document, "rules": rules}


def _read_layering(fields: Fields) -> dict[str, Any]:
    cuts: Any = [str(cut).strip() for cut in fields.getlist("cut")]
    return {
        **_common(fields, "key"),
        "metric": _text(fields, "metric"),
        "cuts": {"percentiles": cuts} if _text(fields, "mode") == "percentiles" else cuts,
        "layers": [str(layer).strip() for layer in fields.getlist("layer")],
    }


def field_names(source: str) -> tuple[str, ...]:
    """The fields of a source to choose from."""
    return tuple(FIELDS.get(source, ()))
