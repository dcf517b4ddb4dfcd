"""Whether a form can show a document whole. What it can't is edited as a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from segmentation.domain.reading.metrics import MAX_OFFSETS

from .fields import MOST_ROWS

_AGGREGATE = {"fn", "field", "type", "where", "converted_within_days"}
_WINDOWS: Mapping[str, frozenset[str]] = {
    "days": frozenset({"days", "to_now"}),
    "months": frozenset({"months", "to_now"}),
    "hours": frozenset({"hours"}),
    "calendar": frozenset({"calendar", "offset"}),
    "all": frozenset({"all"}),
}


def fits(kind: str, document: Mapping[str, Any]) -> bool:
    """Whether every value of the document has a field that gives it back unchanged."""
    key = "group" if kind == "tag" else "key"
    label = document.get("label", {})
    named = isinstance(label, str) or (
        isinstance(label, Mapping)
        and set(label) <= {"en", "zh-hans"}
        and all(isinstance(text, str) for text in label.values())
    )
    return named and isinstance(document.get(key, ""), str) and _FITS[kind](document)


def _segment(document: Mapping[str, Any]) -> bool:
    return _texts(document, "purpose", "visibility")


def _metric(document: Mapping[str, Any]) -> bool:
    if not _texts(document, "unit", "value_kind"):
        return False
    if "formula" in document:
        return _formula(document)
    aggregate, window = document.get("aggregate", {}), document.get("window", {})
    return (
        _texts(document, "source", "time")
        and isinstance(aggregate, Mapping)
        and set(aggregate) <= _AGGREGATE
        and _texts(aggregate, "fn", "field", "type")
        and isinstance(window, Mapping)
        and (not window or _window(window))
        and isinstance(document.get("matured_days", 0), int | str)
    )


def _window(window: Mapping[str, Any]) -> bool:
    kind = next((name for name in _WINDOWS if name in window), "")
    if not kind or set(window) - _WINDOWS[kind]:
        return False
    match kind:
        case "all":
            return window["all"] is True
        case "calendar":
            offset = window.get("offset", 0)
            return window["calendar"] in MAX_OFFSETS and isinstance(offset, int) and offset <= 0
    return isinstance(window[kind], int | str) and isinstance(window.get("to_now", False), bool)


def _formula(document: Mapping[str, Any]) -> bool:
    formula = document["formula"]
    terms = formula.get("sum") if isinstance(formula, Mapping) else None
    if not isinstance(terms, list) or set(formula) != {"sum"} or len(terms) > MOST_ROWS:
        return False
    if any(name in document for name in ("source", "aggregate", "window", "filter", "time")):
        return False
    return all(
        isinstance(term, Mapping)
        and set(term) <= {"metric", "times", "cap"}
        and isinstance(term.get("metric", ""), str)
        and all(_is_number(term.get(name, "1")) for name in ("times", "cap"))
        for term in terms
    )


def _tag(document: Mapping[str, Any]) -> bool:
    flags = (document.get(name, False) for name in ("exclusive", "sensitive", "public"))
    if not all(isinstance(flag, bool) for flag in flags):
        return False
    if "rules" not in document:
        return _lines(document.get("values", []))
    rules = document["rules"]
    return (
        "values" not in document
        and isinstance(rules, list)
        and len(rules) <= MOST_ROWS
        and all(
            isinstance(rule, Mapping)
            and set(rule) <= {"value", "rule"}
            and isinstance(rule.get("value", ""), str)
            and isinstance(rule.get("rule", {}), Mapping)
            for rule in rules
        )
    )


def _layering(document: Mapping[str, Any]) -> bool:
    layers, cuts = document.get("layers", []), document.get("cuts", [])
    if isinstance(cuts, Mapping):
        cuts = cuts.get("percentiles") if set(cuts) == {"percentiles"} else None
    return (
        _texts(document, "metric")
        and isinstance(cuts, list)
        and all(_is_number(cut) for cut in cuts)
        and isinstance(layers, list)
        and all(isinstance(layer, str) for layer in layers)
        and (not layers or len(layers) == len(cuts) + 1)
    )


def _texts(document: Mapping[str, Any], *names: str) -> bool:
    return all(isinstance(document.get(name, ""), str) for name in names)


def _is_number(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _lines(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, str) and value.strip() and "\n" not in value and "\r" not in value
        for value in values
    )


_FITS: Mapping[str, Callable[[Mapping[str, Any]], bool]] = {
    "segment": _segment,
    "metric": _metric,
    "tag": _tag,
    "layering": _layering,
}
