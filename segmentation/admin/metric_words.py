"""A metric's definition sheet in words: what is computed, of which facts, what counts nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils.translation import gettext as _

from . import wording
from .rule_words import Names, rule_sentence

# Fields read best as what they hold; others (event properties) are shown as they are written.
_FIELDS: dict[str, Callable[[], str]] = {
    "amount": lambda: _("amount paid"),
    "net_amount": lambda: _("amount paid after refunds"),
    "discount": lambda: _("discount"),
    "goods_amount": lambda: _("goods amount"),
    "shipping_amount": lambda: _("shipping amount"),
    "stored_value_amount": lambda: _("paid with stored value"),
    "points_amount": lambda: _("paid with points"),
    "channel": lambda: _("channel"),
    "currency": lambda: _("currency"),
    "status": lambda: _("status"),
    "store_id": lambda: _("store"),
    "staff_id": lambda: _("sales assistant"),
    "is_promotion": lambda: _("promotion order"),
    "sku": lambda: _("article"),
    "category": lambda: _("category"),
    "quantity": lambda: _("quantity"),
    "cost": lambda: _("cost"),
    "is_durable": lambda: _("durable good"),
    "qualifies": lambda: _("counts for tiers"),
    "name": lambda: _("event"),
}
_ZERO = ("sum", "count", "count_distinct", "active_days")


def field_words(name: str) -> str:
    """What a field of the facts is called."""
    words = _FIELDS.get(name)
    return words() if words else name


def field_names(known: Names) -> Names:
    """The same names, and those of the facts' fields, for filters."""
    return Names({**known.by_kind, "field": {name: words() for name, words in _FIELDS.items()}})


def formula_words(document: Mapping[str, Any], *, known: Names) -> str:
    """What a metric computes, whole: "sum of amount paid after refunds over orders", or the terms
    of a formula."""
    formula = document.get("formula")
    if formula:
        return _(" + ").join(_term_words(term, known=known) for term in formula.get("sum") or ())
    aggregate = document.get("aggregate") or {}
    function, field = str(aggregate.get("fn", "")), str(aggregate.get("field") or "")
    values = {
        "function": str(wording.FUNCTIONS.get(function, function)),
        "field": field_words(field),
        "source": str(wording.SOURCES.get(str(document.get("source")), document.get("source"))),
    }
    words = (
        _("%(function)s of %(field)s over %(source)s")
        if field
        else _("%(function)s over %(source)s")
    )
    text = words % values
    if aggregate.get("where"):
        part = rule_sentence(aggregate["where"], known=field_names(known))
        text = _("%(what)s, the part where %(condition)s") % {"what": text, "condition": part}
    if aggregate.get("converted_within_days"):
        text = _(
            "%(what)s; counted are different referred customers whose first purchase followed "
            "within %(days)s days"
        ) % {"what": text, "days": aggregate["converted_within_days"]}
    return text


def _term_words(term: Mapping[str, Any], *, known: Names) -> str:
    name = known.of("metric", str(term.get("metric")))
    times, cap = str(term.get("times", "1")), term.get("cap")
    text = name if times == "1" else _("%(metric)s × %(times)s") % {"metric": name, "times": times}
    if cap not in (None, ""):
        text = _("%(term)s (at most %(cap)s)") % {"term": text, "cap": cap}
    return text


def exclusions(document: Mapping[str, Any]) -> list[str]:
    """What counts nowhere in this metric, and what nothing counts as."""
    if "formula" in document:
        return [_("A term without a value adds nothing; without any value the result is missing.")]
    source = str(document.get("source"))
    aggregate = document.get("aggregate") or {}
    function, field = str(aggregate.get("fn")), str(aggregate.get("field") or "")
    lines = []
    if source in ("orders", "order_lines"):
        lines.append(_("Orders that were only created or were cancelled count nowhere."))
        lines.append(_refunds(function, field))
    window = document.get("window") or {}
    if "days" in window and not window.get("to_now"):
        lines.append(_("Nothing of the as-of day itself counts."))
    if document.get("matured_days"):
        lines.append(
            _("A fact counts once %(days)s days have passed since its day.")
            % {"days": document["matured_days"]}
        )
    time = document.get("time")
    if time in ("paid_at", "completed_at"):
        lines.append(_("A fact without this time is in no window."))
    if document.get("filter"):
        lines.append(_("A fact whose field is empty does not match a condition on it."))
    if function == "count_distinct":
        lines.append(_("Empty values are not counted."))
    lines.append(
        _("Of no fact it is 0.") if function in _ZERO else _("Of no fact it is missing, not 0.")
    )
    return lines


def _refunds(function: str, field: str) -> str:
    if field == "net_amount":
        return _(
            "Refunds up to the as-of are taken off, on the day of the order they belong to; a "
            "fully refunded order is 0."
        )
    if function in ("count", "active_days", "days_since_last", "days_since_first"):
        return _("A fully refunded order still counts.")
    return _("Refunds are not taken off.")


def filter_words(document: Mapping[str, Any], *, known: Names) -> str:
    """The filter of the facts in one sentence; "" without one."""
    found = document.get("filter")
    return rule_sentence(found, known=field_names(known)) if found else ""


VALUE_KINDS: dict[str, Callable[[], str]] = {
    "activity": lambda: _("activity"),
    "referral": lambda: _("referral"),
    "history": lambda: _("historical spend"),
    "future": lambda: _("future spend"),
    "margin": lambda: _("margin"),
}
TIMES: dict[str, Callable[[], str]] = {
    "placed_at": lambda: _("placed at"),
    "paid_at": lambda: _("paid at"),
    "completed_at": lambda: _("completed at"),
}
