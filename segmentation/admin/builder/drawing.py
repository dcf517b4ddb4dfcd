"""A document as the fields of its form: what the templates of each kind show."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.reading import pointer
from segmentation.domain.reading.fields import FIELDS, is_property
from segmentation.domain.reading.metrics import (
    DAY_FNS,
    FNS,
    NUMERIC_FNS,
    SOURCES,
    TIMES,
    UNITS,
    VALUE_KINDS,
)

from .. import wording
from ..metric_words import field_words
from .fields import extras, grammar_of
from .nodes import RULE, TAG_RULE
from .sentences import sentences
from .vocabulary import Vocabulary
from .widgets import Choice, NodeView, node_view

TIME_WORDS: Mapping[str, str | Promise] = {
    "placed_at": gettext_lazy("when it was placed"),
    "paid_at": gettext_lazy("when it was paid"),
    "completed_at": gettext_lazy("when it was completed"),
}
KIND_WORDS: Mapping[str, str | Promise] = {
    "activity": gettext_lazy("activity"),
    "referral": gettext_lazy("referral"),
    "history": gettext_lazy("historical spend"),
    "future": gettext_lazy("future spend"),
    "margin": gettext_lazy("margin"),
}
WINDOW_WORDS: Mapping[str, str | Promise] = {
    "days": gettext_lazy("days"),
    "months": gettext_lazy("months"),
    "hours": gettext_lazy("hours"),
    "calendar": gettext_lazy("calendar"),
    "all": gettext_lazy("all history"),
}
CALENDAR_WORDS: Mapping[str, str | Promise] = {
    "month": gettext_lazy("month"),
    "quarter": gettext_lazy("quarter"),
    "year": gettext_lazy("year"),
}
FN_WORDS: Mapping[str, str | Promise] = {
    "sum": gettext_lazy("sum"),
    "count": gettext_lazy("count"),
    "count_distinct": gettext_lazy("number of different values"),
    "avg": gettext_lazy("average"),
    "min": gettext_lazy("smallest"),
    "max": gettext_lazy("largest"),
    "days_since_last": gettext_lazy("days since the last"),
    "days_since_first": gettext_lazy("days since the first"),
    "active_days": gettext_lazy("days with at least one"),
    "share": gettext_lazy("share"),
}
VISIBILITY_WORDS: Mapping[str, str | Promise] = {
    "internal": gettext_lazy("Internal: all staff who see segments"),
    "hidden": gettext_lazy("Restricted: only roles with the right"),
}


def choices(
    words: Mapping[str, Any], chosen: Any, *, options: Iterable[str] = (), empty: Any = None
) -> list[Choice]:
    """Values to choose from; what is chosen although it is none of them stays to be seen."""
    names = list(options) or list(words)
    found = [Choice(name, words.get(name, name), name == chosen) for name in names]
    if empty is not None or not chosen:
        found.insert(0, Choice("", empty or _("choose"), not chosen))
    if chosen and chosen not in names:
        found.append(Choice(str(chosen), str(chosen), True))
    return found


def draw(kind: str, document: Mapping[str, Any], *, words: Vocabulary) -> dict[str, Any]:
    """The context of a kind's form; `trees` are all trees in it, for problems and previews."""
    label = document.get("label") or {}
    names = label if isinstance(label, Mapping) else {"en": label, "zh-hans": label}
    common = {
        "key": document.get("group" if kind == "tag" else "key", ""),
        "label_en": names.get("en", ""),
        "label_zh": names.get("zh-hans", ""),
        "extras": json.dumps(extras(kind, document), ensure_ascii=False),
        "words": words,
    }
    drawn = {
        "segment": _segment,
        "metric": _metric,
        "tag": _tag,
        "layering": _layering,
    }[kind](document, words)
    return {**common, **drawn, "suggestions": _suggestions(kind, document, words)}


def _suggestions(
    kind: str, document: Mapping[str, Any], words: Vocabulary
) -> list[tuple[str, list[tuple[str, str]]]]:
    """Lists of names to complete what is typed, by the kind of leaf."""
    found = [
        (name, words.options(name))
        for name in ("metric", "tag", "attr", "layer", "segment", "list", "tier")
    ]
    fields = FIELDS.get(str(document.get("source", "")), {}) if kind == "metric" else {}
    return [*found, ("field", [(name, field_words(name)) for name in fields])]


def _segment(document: Mapping[str, Any], words: Vocabulary) -> dict[str, Any]:
    rule = document.get("rule", {"all": []})
    tree = node_view(rule, name="rule", path="/rule", grammar=RULE, words=words)
    return {
        "purposes": choices(wording.PURPOSES, document.get("purpose")),
        "visibilities": choices(VISIBILITY_WORDS, document.get("visibility")),
        "tree": tree,
        "sentences": sentences(rule, words=words),
        "trees": [tree],
    }


def _metric(document: Mapping[str, Any], words: Vocabulary) -> dict[str, Any]:
    is_formula = "formula" in document
    common = {
        "is_formula": is_formula,
        "units": choices(wording.UNITS, document.get("unit"), options=UNITS),
        "value_kinds": choices(
            KIND_WORDS, document.get("value_kind"), options=VALUE_KINDS, empty=_("none of these")
        ),
        "trees": [],
    }
    if is_formula:
        formula = document.get("formula") or {}
        terms = formula.get("sum") or []
        labels = dict(words.options("metric"))
        rows = [
            {
                "position": position,
                "metric": term.get("metric", ""),
                "label": labels.get(term.get("metric", ""), ""),
                "times": term.get("times", "1"),
                "cap": term.get("cap", ""),
                "path": pointer("/formula/sum", position),
                "is_last": position == len(terms) - 1,
            }
            for position, term in enumerate(terms)
        ]
        return {**common, "terms": rows}
    return {**common, **_facts(document, words)}


def _facts(document: Mapping[str, Any], words: Vocabulary) -> dict[str, Any]:
    source = str(document.get("source") or SOURCES[0])
    aggregate = document.get("aggregate") or {}
    fn = str(aggregate.get("fn") or "count")
    name = str(aggregate.get("field") or "")
    grammar = grammar_of("metric", "filter", {"source": source})
    trees: dict[str, NodeView | None] = {"filter_tree": None, "where_tree": None}
    if document.get("filter") is not None and source != "referrals":
        trees["filter_tree"] = node_view(
            document["filter"], name="filter", path="/filter", grammar=grammar, words=words
        )
    if fn == "share":
        where = aggregate.get("where") or {"all": []}
        trees["where_tree"] = node_view(
            where, name="where", path="/aggregate/where", grammar=grammar, words=words
        )
    fields = FIELDS.get(source, {})
    numeric = fn in NUMERIC_FNS
    possible = [one for one, type_ in fields.items() if not numeric or type_ in ("money", "number")]
    return {
        "source": source,
        "sources": choices(wording.SOURCES, source, options=SOURCES),
        "fns": choices(FN_WORDS, fn, options=FNS),
        "needs_field": numeric or fn == "count_distinct",
        "field": name,
        "field_names": [(name, field_words(name)) for name in possible],
        "is_event": source == "events",
        "field_type": aggregate.get("type", "number" if numeric else "text")
        if is_property(name)
        else "",
        "may_convert": source == "referrals" and fn == "count",
        "converted_within_days": aggregate.get("converted_within_days", ""),
        "times": choices(TIME_WORDS, document.get("time") or TIMES[0], options=TIMES),
        "has_times": source in ("orders", "order_lines"),
        "counts_days": fn in DAY_FNS,
        "matured_days": document.get("matured_days", ""),
        "may_filter": source != "referrals",
        **_window(document.get("window") or {"days": ""}, words),
        **trees,
        "trees": [tree for tree in trees.values() if tree is not None],
    }


def _window(window: Mapping[str, Any], words: Vocabulary) -> dict[str, Any]:
    kind = next((name for name in WINDOW_WORDS if name in window), "days")
    offset = window.get("offset", 0)
    return {
        "window": kind,
        "windows": choices(WINDOW_WORDS, kind),
        "count": window.get(kind, "") if kind in ("days", "months", "hours") else "",
        "may_reach_now": kind in ("days", "months"),
        "to_now": bool(window.get("to_now")),
        "calendars": choices(CALENDAR_WORDS, window.get("calendar", "month")),
        "offset": -offset if isinstance(offset, int) else offset,
        "interval": words.window_note(window),
    }


def _tag(document: Mapping[str, Any], words: Vocabulary) -> dict[str, Any]:
    common = {name: bool(document.get(name)) for name in ("exclusive", "sensitive", "public")}
    if "rules" not in document:
        values = "\n".join(str(value) for value in document.get("values") or ())
        return {**common, "is_derived": False, "values": values, "trees": []}
    rows = []
    rules = document.get("rules") or []
    for position, rule in enumerate(rules):
        path = pointer("/rules", position)
        tree = node_view(
            rule.get("rule", {"all": []}),
            name=f"rule_{position}",
            path=f"{path}/rule",
            grammar=TAG_RULE,
            words=words,
        )
        rows.append(
            {
                "position": position,
                "value": rule.get("value", ""),
                "tree": tree,
                "path": path,
                "is_last": position == len(rules) - 1,
                "sentences": sentences(rule.get("rule", {"all": []}), words=words),
            }
        )
    return {**common, "is_derived": True, "rules": rows, "trees": [row["tree"] for row in rows]}


def _layering(document: Mapping[str, Any], words: Vocabulary) -> dict[str, Any]:
    cuts = document.get("cuts") or []
    is_percentiles = isinstance(cuts, Mapping)
    marks = list((cuts.get("percentiles") if isinstance(cuts, Mapping) else cuts) or [])
    layers = list(document.get("layers") or [])
    rows = [
        {"position": position, "layer": layer, "cut": marks[position - 1] if position else None}
        for position, layer in enumerate(layers)
    ]
    metric = str(document.get("metric", ""))
    return {
        "metric": metric,
        "metric_label": dict(words.options("metric")).get(metric, ""),
        "metric_note": words.metric_note(metric),
        "is_percentiles": is_percentiles,
        "layers": rows,
        "trees": [],
    }
