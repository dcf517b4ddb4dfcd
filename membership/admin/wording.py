"""Words for tiers, decisions and their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import CharField, OuterRef, Subquery
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from membership.models import Tier, Transition
from membership.services.reason_words import reason_words as reason_words
from segmentation.admin import shown
from segmentation.services.wording import clauses, named

KIND_COLOURS: dict[str, str] = {
    Transition.Kind.ENTRY: "success",
    Transition.Kind.UPGRADE: "success",
    Transition.Kind.RENEWAL: "info",
    Transition.Kind.GRACE: "warning",
    Transition.Kind.DOWNGRADE: "danger",
    Transition.Kind.EXIT: "danger",
}
DOWNGRADES = {
    "one_level": _("one tier at a time"),
    "by_value": _("to the tier that the value reaches"),
}
PERIODS = {
    "rolling": _("rolling, at every run"),
    "calendar_year": _("by calendar year"),
    "anniversary": _("by membership year"),
}
UPGRADES = {"immediate": _("immediately"), "period_end": _("at the end of the period")}


def kind_badge(transition: Transition) -> SafeString:
    colour = KIND_COLOURS.get(transition.kind, "default")
    return shown.badge(transition.get_kind_display(), colour=colour)


def bounded_words(count: int, is_more: bool) -> str:
    """A count, or that there are more than so many."""
    number = shown.count(count)
    return gettext("more than %(count)s") % {"count": number} if is_more else number


def count_link(text: str, address: str) -> SafeString | str:
    """A figure that leads to what it counts; without an address, the figure."""
    if not address:
        return text
    return format_html('<a class="tw-link" href="{}">{}</a>', address, text)


def meter(size: int, *, most: int) -> SafeString:
    """A bar as long as the share of `size` in `most`; the figure stands beside it."""
    width = 0 if most <= 0 else round(100 * size / most, 1)
    return format_html(
        '<span class="tw-meter" aria-hidden="true"><span style="width:{}%"></span></span>', width
    )


def values_words(values: Mapping[str, Any], *, labels: Mapping[str, str]) -> str:
    """Metric values that decided, each with its name."""
    return clauses(
        named(labels.get(key, key), shown.EMPTY if value is None else value)
        for key, value in sorted(values.items())
    )


def tier_names() -> dict[tuple[str, str], tuple[str, str]]:
    """(program key, tier key) to their newest names, highest rank first; one query."""
    tiers = Tier.objects.select_related("version__program").defer(
        "version__document", "version__program__document"
    )
    newest: dict[tuple[str, str], Tier] = {}
    for tier in tiers.order_by("version__number"):
        newest[tier.version.program.key, tier.key] = tier
    ordered = sorted(newest.items(), key=lambda item: (item[0][0], -item[1].rank))
    return {key: (shown.label(tier.version.program), shown.label(tier)) for key, tier in ordered}


def tier_label(column: str) -> Subquery:
    """The newest name of the tier whose key is in `column`, in the language of this request."""
    tiers = Tier.objects.filter(
        version__program=OuterRef("program_id"), key=OuterRef(column)
    ).order_by("-version__number")
    return Subquery(tiers.values(shown.label_field())[:1], output_field=CharField())
