"""The words screens and sentences share for windows, attributes and comparisons.

All texts are in the active language.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import get_language, gettext_lazy, pgettext
from django.utils.translation import gettext as _

from segmentation.domain.definitions import Label, Window
from segmentation.domain.windows import Interval

ATTRIBUTE_LABELS = {
    "gender": gettext_lazy("Gender"),
    "city": gettext_lazy("City"),
    "region": gettext_lazy("Region"),
    "channel": gettext_lazy("Channel"),
    "home_store": gettext_lazy("Home store"),
    "registered_at": gettext_lazy("Registered on"),
    "consent_at": gettext_lazy("Consent given on"),
    "birth_date": gettext_lazy("Birth date"),
    "is_staff": gettext_lazy("Is staff"),
    "consent_marketing": gettext_lazy("Consents to marketing"),
    "birth_month": gettext_lazy("Birth month"),
    "days_since_registered": gettext_lazy("Days since registered"),
}


def in_language(label: Label) -> str:
    """The name in the language of now."""
    return label.zh_hans if (get_language() or "").startswith("zh") else label.en


def listed(words: Iterable[object]) -> str:
    """Things side by side, with the list comma of the language."""
    return _(", ").join(str(each) for each in words)


def clauses(words: Iterable[object]) -> str:
    """Statements one after the other; Chinese parts them with another comma than things."""
    return pgettext("between clauses", ", ").join(str(each) for each in words)


def named(name: object, value: object) -> str:
    """A value behind its name, with the colon of the language."""
    return f"{name}{_(': ')}{value}"


def window_words(window: Window) -> str:
    """A window in plain words: whether today counts is always said."""
    count = {"n": window.count}
    match window.kind:
        case "all":
            return _("all history")
        case "hours":
            return _("last %(n)s hours, rolling") % count
        case "days" if window.to_now:
            return _("last %(n)s days, today included") % count
        case "days":
            return _("past %(n)s days, without today") % count
        case "months" if window.to_now:
            return _("past %(n)s months, up to now") % count
        case "months":
            return _("past %(n)s months, without today") % count
        case "calendar":
            return _calendar_words(window)


def _calendar_words(window: Window) -> str:
    words = {
        ("year", 0): _("this year so far"),
        ("quarter", 0): _("this quarter so far"),
        ("month", 0): _("this month so far"),
        ("year", 1): _("last calendar year"),
        ("quarter", 1): _("last calendar quarter"),
        ("month", 1): _("last calendar month"),
    }
    calendar, back = window.calendar or "month", -window.offset
    if (calendar, back) in words:
        return words[calendar, back]
    earlier = {
        "year": _("the calendar year %(n)s years ago"),
        "quarter": _("the calendar quarter %(n)s quarters ago"),
        "month": _("the calendar month %(n)s months ago"),
    }
    return earlier[calendar] % {"n": back}


def moment_words(instant: datetime, *, zone: ZoneInfo) -> str:
    """Date and time on the wall, to the minute, or as fine as it needs."""
    wall = instant.astimezone(zone)
    pattern = "%Y-%m-%d %H:%M:%S" if wall.second or wall.microsecond else "%Y-%m-%d %H:%M"
    return wall.strftime(pattern)


def interval_words(interval: Interval, *, zone: ZoneInfo) -> str:
    """Both ends; the end itself is outside."""
    end = moment_words(interval.end, zone=zone)
    if interval.start is None:
        return _("before %(end)s") % {"end": end}
    start = moment_words(interval.start, zone=zone)
    return _("from %(start)s to before %(end)s") % {"start": start, "end": end}


def comparison_words(cmp: str, value: str | Sequence[str] | None) -> str:
    """What a leaf asks for: "at least 500", "one of a, b", "set"."""
    texts = [value] if isinstance(value, str) else list(value or ())
    if len(texts) == 1:
        cmp = {"in": "eq", "not_in": "ne"}.get(cmp, cmp)
    if cmp == "between":
        return _("between %(low)s and %(high)s") % {"low": texts[0], "high": texts[1]}
    patterns = {
        "eq": _("equal to %(value)s"),
        "ne": _("other than %(value)s"),
        "gt": _("above %(value)s"),
        "gte": _("at least %(value)s"),
        "lt": _("below %(value)s"),
        "lte": _("at most %(value)s"),
        "in": _("one of %(value)s"),
        "not_in": _("none of %(value)s"),
        "contains": _("containing %(value)s"),
        "is_set": _("present"),
        "is_not_set": _("absent"),
        "at_least": _("at least %(value)s"),
    }
    return patterns[cmp] % {"value": _(", ").join(texts)}
