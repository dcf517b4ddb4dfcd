"""Rules, windows and aggregates in words, as pages of the admin show them beside the document.

These words follow the stored document; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from segmentation.domain.definitions import Window
from segmentation.models import Layering, Metric, Segment, TagGroup
from segmentation.services.wording import ATTRIBUTE_LABELS, comparison_words

from .shown import label

_SUBJECTS = ("metric", "tag", "attr", "layer", "segment", "tier", "list", "score", "field")
_COUNTED: tuple[Literal["days", "months", "hours"], ...] = ("days", "months", "hours")
_FUNCTIONS = {
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
SOURCES = {
    "orders": gettext_lazy("orders"),
    "order_lines": gettext_lazy("order lines"),
    "events": gettext_lazy("events"),
    "referrals": gettext_lazy("referrals"),
}
UNITS = {
    "money": gettext_lazy("money"),
    "count": gettext_lazy("count"),
    "days": gettext_lazy("days"),
    "ratio": gettext_lazy("ratio"),
}
PURPOSES = {
    "retention": gettext_lazy("Retention"),
    "acquisition": gettext_lazy("Acquisition"),
    "promotion": gettext_lazy("Promotion"),
    "service": gettext_lazy("Service"),
    "research": gettext_lazy("Research"),
}


@dataclass(frozen=True)
class Names:
    """Labels of what a rule mentions, by kind and key, in the language of this request."""

    by_kind: Mapping[str, Mapping[str, str]]

    def of(self, kind: str, key: str) -> str:
        return self.by_kind.get(kind, {}).get(key, key)


def names() -> Names:
    """Labels of metrics, tags, layerings, segments and customer columns: four queries.

    Only for wording rules the reader may see: a rule names a hidden segment only if it is hidden
    itself.
    """
    kinds: dict[str, Any] = {"metric": Metric, "tag": TagGroup, "layer": Layering}
    found = {
        kind: {row.key: label(row) for row in model.objects.defer("document")}
        for kind, model in kinds.items()
    }
    found["segment"] = {row.key: label(row) for row in Segment.objects.defer("document")}
    found["attr"] = {key: str(words) for key, words in ATTRIBUTE_LABELS.items()}
    return Names(found)


def _value(value: Any) -> str:
    if value is True or value is False:
        return _("yes") if value else _("no")
    return str(value)


def leaf_words(leaf: Mapping[str, Any], *, known: Names) -> str:
    """One comparison as a sentence."""
    if "bucket" in leaf:
        bucket = leaf["bucket"]
        return _("random group %(start)s up to %(end)s of 10000 (salt %(salt)s)") % {
            "start": bucket.get("from"),
            "end": bucket.get("to"),
            "salt": bucket.get("salt"),
        }
    kind = next((kind for kind in _SUBJECTS if kind in leaf), "")
    subject = known.of(kind, str(leaf.get(kind, "")))
    if kind == "segment":
        return _("in the segment “%(segment)s”") % {"segment": subject}
    value = leaf.get("value")
    texts = [_value(each) for each in value] if isinstance(value, list) else _value(value)
    comparison = comparison_words(str(leaf.get("cmp")), None if value is None else texts)
    words = _("%(subject)s: %(comparison)s") % {"subject": subject, "comparison": comparison}
    if leaf.get("if_missing") == "match":
        words = _("%(condition)s, or is not known") % {"condition": words}
    return words


def rule_lines(node: Any, *, known: Names, depth: int = 0) -> list[tuple[int, str]]:
    """A rule as (depth, words), one line a node."""
    if not isinstance(node, Mapping):
        return [(depth, str(node))]
    for name, words in (("all", _("All of these:")), ("any", _("At least one of these:"))):
        if name in node:
            lines = [(depth, words)]
            for child in node[name]:
                lines += rule_lines(child, known=known, depth=depth + 1)
            return lines
    if "not" in node:
        return [(depth, _("Not:")), *rule_lines(node["not"], known=known, depth=depth + 1)]
    return [(depth, leaf_words(node, known=known))]


def rule_html(node: Any, *, known: Names) -> SafeString:
    """The lines of a rule, indented."""
    return format_html_join(
        "", '<div class="tw-rule tw-rule-{}">{}</div>', rule_lines(node, known=known)
    )


def read_window(document: Mapping[str, Any]) -> Window:
    """The window of a stored metric document."""
    if "calendar" in document:
        offset = int(document.get("offset") or 0)
        return Window("calendar", calendar=document["calendar"], offset=offset)
    for kind in _COUNTED:
        if kind in document:
            return Window(kind, int(document[kind]), to_now=bool(document.get("to_now")))
    return Window("all")


def term_words(term: Mapping[str, Any] | None) -> str:
    """A length of calendar time, such as "1 year, 6 months"; nothing means for good."""
    if not term:
        return _("for good")
    years, months, days = (int(term.get(unit) or 0) for unit in ("years", "months", "days"))
    parts = []
    if years:
        parts.append(ngettext("%(n)s year", "%(n)s years", years) % {"n": years})
    if months:
        parts.append(ngettext("%(n)s month", "%(n)s months", months) % {"n": months})
    if days or not parts:
        parts.append(ngettext("%(n)s day", "%(n)s days", days) % {"n": days})
    return ", ".join(parts)


def metric_words(document: Mapping[str, Any]) -> str:
    """What a metric computes, without its window: "sum of net_amount over orders"."""
    if "formula" in document:
        return _("formula")
    aggregate = document.get("aggregate") or {}
    function = str(aggregate.get("fn", ""))
    values = {
        "function": str(_FUNCTIONS.get(function, function)),
        "field": str(aggregate.get("field") or ""),
        "source": str(SOURCES.get(str(document.get("source")), document.get("source"))),
    }
    if values["field"]:
        return _("%(function)s of %(field)s over %(source)s") % values
    return _("%(function)s over %(source)s") % values
