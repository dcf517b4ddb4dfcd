"""Aggregates, formulas and terms in words, as pages of the admin show them beside the document.

These words follow the stored document; they decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from segmentation.services.wording import listed

from .rule_words import Names as Names
from .rule_words import leaf_words as leaf_words
from .rule_words import names as names
from .rule_words import read_window as read_window
from .rule_words import rule_html as rule_html
from .rule_words import rule_lines as rule_lines

FUNCTIONS = {
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
    "count": gettext_lazy("plain number"),
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
    return listed(parts)


def metric_words(document: Mapping[str, Any]) -> str:
    """What a metric computes, without its window: "sum of net_amount over orders"."""
    if "formula" in document:
        return _("formula")
    aggregate = document.get("aggregate") or {}
    function = str(aggregate.get("fn", ""))
    values = {
        "function": str(FUNCTIONS.get(function, function)),
        "field": str(aggregate.get("field") or ""),
        "source": str(SOURCES.get(str(document.get("source")), document.get("source"))),
    }
    if values["field"]:
        return _("%(function)s of %(field)s over %(source)s") % values
    return _("%(function)s over %(source)s") % values
