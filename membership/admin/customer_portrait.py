"""The portrait and the terms in words, for a customer's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from membership.domain.progress import Gap
from membership.models import ProgramVersion
from membership.services.customer_page import Ahead, MetricValue, Place, Portrait
from segmentation.admin import shown
from segmentation.admin.wording import UNITS, term_words
from segmentation.domain.definitions import Label, Unit
from segmentation.models import Segment
from segmentation.services.wording import interval_words, listed, moment_words

from . import wording


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric in words; `base` and `layer` are whole percents, None without a comparison."""

    key: str
    label: str
    value: str
    unit: str
    interval: str
    base: int | None
    layer: int | None


@dataclass(frozen=True, slots=True)
class GapRow:
    """One condition of the next tier; `percent` of it is there."""

    label: str
    have: str
    need: str
    missing: str
    is_fulfilled: bool
    percent: int


@dataclass(frozen=True, slots=True)
class AheadRow:
    """What leads to the next tier; `gaps` None: the rule can't be said in gaps."""

    program: str
    tier: str
    gaps: tuple[GapRow, ...] | None


def portrait_context(found: Portrait, *, user: Any) -> dict[str, Any]:
    """What the portrait's template shows."""
    zone = ZoneInfo(settings.TIME_ZONE)
    labels = {metric.key: said(metric.label) for metric in found.metrics}
    units = {metric.key: metric.unit for metric in found.metrics}
    return {
        "portrait": found,
        "as_of": moment_words(found.as_of, zone=zone),
        "metrics": [_metric(metric, zone=zone) for metric in found.metrics],
        "tags": [_place(place) for place in found.tags],
        "layers": [_place(place) for place in found.layers],
        "choices": [
            (place.key, said(place.label), place.key == found.compared_in)
            for place in found.layers
            if place.values
        ],
        "segments": _segments(found, user=user),
        "ahead": [_ahead(ahead, labels=labels, units=units) for ahead in found.ahead.values()],
        "may_see_run": user.has_perm("segmentation.view_run"),
    }


def said(label: Label) -> str:
    """A name in the language of this request."""
    return label.zh_hans if (get_language() or "").startswith("zh") else label.en


def unit_words(unit: Unit) -> str:
    """What stands beside a value; nothing where the number says all."""
    if unit in ("count", "ratio"):
        return ""
    return shown.currency() if unit == "money" else str(UNITS[unit])


def number_words(value: str | None, *, unit: Unit) -> str:
    """A value as people read it: thousands separated, ratios as percents."""
    if value is None:
        return shown.EMPTY
    number = Decimal(value)
    if unit == "ratio":
        percent = (number * 100).quantize(Decimal("0.1"), ROUND_HALF_UP)
        return _("%(percent)s %%") % {"percent": f"{percent:,}"}
    return f"{number:,}"


def amount_words(value: str | None, *, unit: Unit) -> str:
    """A value with its unit, as it stands in a sentence."""
    number = number_words(value, unit=unit)
    if value is None or unit in ("count", "ratio"):
        return number
    if unit == "money":
        return f"{number} {shown.currency()}"
    return ngettext("%(n)s day", "%(n)s days", int(Decimal(value))) % {"n": number}


def _metric(metric: MetricValue, *, zone: ZoneInfo) -> MetricRow:
    interval = "" if metric.interval is None else interval_words(metric.interval, zone=zone)
    return MetricRow(
        key=metric.key,
        label=said(metric.label),
        value=number_words(metric.value, unit=metric.unit),
        unit=unit_words(metric.unit),
        interval=interval,
        base=_percent(metric.base),
        layer=_percent(metric.layer),
    )


def _percent(share: Decimal | None) -> int | None:
    return None if share is None else int((share * 100).to_integral_value(ROUND_HALF_UP))


def _place(place: Place) -> tuple[str, str]:
    return said(place.label), listed(place.values) or shown.EMPTY


def _segments(found: Portrait, *, user: Any) -> list[dict[str, Any]]:
    """Links for those who may open a segment; one query."""
    keys = [each.key for each in found.segments]
    ids: dict[str, int] = {}
    if user.has_perm("segmentation.view_segment"):
        ids = dict(Segment.objects.filter(key__in=keys).values_list("key", "pk"))
    return [
        {
            "key": each.key,
            "label": said(each.label),
            "is_hidden": each.is_hidden,
            "link": reverse("admin:segmentation_segment_change", args=[ids[each.key]])
            if each.key in ids
            else "",
        }
        for each in found.segments
    ]


def _ahead(ahead: Ahead, *, labels: Mapping[str, str], units: Mapping[str, Unit]) -> AheadRow:
    gaps = None
    if ahead.gaps is not None:
        gaps = tuple(_gap(gap, labels=labels, units=units) for gap in ahead.gaps)
    tier = "" if ahead.next_tier is None else said(ahead.next_tier.label)
    return AheadRow(ahead.program, tier, gaps)


def _gap(gap: Gap, *, labels: Mapping[str, str], units: Mapping[str, Unit]) -> GapRow:
    unit = units[gap.metric]
    missing, need = Decimal(gap.missing), Decimal(gap.need)
    have = Decimal(gap.have or 0)
    percent = 100 if missing == 0 else 0 if need <= 0 else min(99, int(100 * have / need))
    return GapRow(
        label=labels[gap.metric],
        have=amount_words(gap.have, unit=unit),
        need=amount_words(gap.need, unit=unit),
        missing=amount_words(gap.missing, unit=unit),
        is_fulfilled=missing == 0,
        percent=max(percent, 0),
    )


def terms_words(version: ProgramVersion) -> list[tuple[str, str | Promise]]:
    """How a tier of this version is reached, kept and lost: headings and words."""
    document = version.document
    period = (document.get("qualification") or {}).get("period", "rolling")
    upgrade = document.get("upgrade", "immediate")
    downgrade = document.get("downgrade", "one_level")
    grace = document.get("grace")
    return [
        (_("Effective from"), f"{version.effective_from:%Y-%m-%d}"),
        (_("Qualification"), wording.PERIODS.get(period, period)),
        (_("Upgrade"), wording.UPGRADES.get(upgrade, upgrade)),
        (_("A tier is kept for"), term_words(document.get("keep_for"))),
        (_("Grace period"), term_words(grace) if grace else _("none")),
        (_("Downgrade"), wording.DOWNGRADES.get(downgrade, downgrade)),
    ]
