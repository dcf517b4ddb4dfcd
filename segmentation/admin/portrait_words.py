"""A portrait as plain facts: what sets the group apart, and what is known for a plan's 5W2H boxes.

Nothing here guesses: each sentence is a figure of the portrait beside the same figure of
everybody, and a box without a figure says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext

from segmentation.domain.definitions import Catalog, FactMetric, Metric
from segmentation.services.portrait_results import (
    ClassPortrait,
    MetricPortrait,
    Portrait,
    ShareRow,
)

from . import shown

TOP = 5
_FEWEST = 30  # of fewer people a share or mean says little: shown, but not named
_FEW_OF_A_VALUE = 10
_CLEAR = 20  # points of TGI away from 100
_PLACES = ("city", "region", "store", "province", "channel")
_HABITS = ("days_since_last", "days_since_first", "active_days")


@dataclass(frozen=True)
class Difference:
    """One figure of the group beside everybody's; `index` is 100 where they are equal."""

    words: str
    index: int


@dataclass(frozen=True)
class Box:
    """One question of 5W2H with what the portrait knows about it."""

    question: Any
    hint: Any
    facts: tuple[str, ...]


def differences(portrait: Portrait, *, catalog: Catalog) -> tuple[Difference, ...]:
    """The strongest first: shares and means at least 20 points of index away from everybody's, of
    enough people. One of each tag and layering, and one metric of each kind of value."""
    classes = (*portrait.tags, *portrait.layerings)
    found = [_clearest(group) for group in classes]
    kinds: dict[object, Difference] = {}
    for metric in portrait.metrics:
        each = _metric_difference(metric)
        kind = _kind_of_value(catalog.metrics.get(metric.key))
        if each and (kind not in kinds or _strength(each) > _strength(kinds[kind])):
            kinds[kind] = each
    clear = [each for each in (*found, *kinds.values()) if each and _is_clear(each)]
    return tuple(sorted(clear, key=_strength, reverse=True))


def top_words(portrait: Portrait, *, catalog: Catalog) -> str:
    """The strongest differences in a sentence; what to say when there is none."""
    if portrait.size < _FEWEST:
        return _("Too few customers to name differences.")
    top = differences(portrait, catalog=catalog)[:TOP]
    if not top:
        return _("No tag and no metric of this group is clearly apart from everybody's.")
    return _("Compared with everybody: %(differences)s.") % {
        "differences": _("; ").join(each.words for each in top)
    }


def _is_clear(difference: Difference) -> bool:
    return abs(difference.index - 100) >= _CLEAR


def _strength(difference: Difference) -> float:
    """Twice as much and half as much are equally far from the same."""
    index = max(difference.index, 1)
    return max(index / 100, 100 / index)


def _kind_of_value(metric: Metric | None) -> object:
    """Metrics that say nearly the same: of one kind of value, or of one function and field."""
    if metric is None or not isinstance(metric, FactMetric):
        return None
    return metric.value_kind or (metric.source, metric.aggregate.fn, metric.aggregate.field)


def _clearest(group: ClassPortrait) -> Difference | None:
    """The value of a tag or layering that differs most among those that enough people have."""
    found = [
        Difference(_share_words(group, row), row.tgi)
        for row in group.rows
        if row.tgi is not None and _says_something(row, group)
    ]
    return max(found, key=_strength, default=None)


def _says_something(row: ShareRow, group: ClassPortrait) -> bool:
    """Enough people: of those in the group whose value is known, at least 30; and of them this
    value has, or as in everybody would have, at least 10."""
    if row.is_suppressed or row.count is None or group.known is None or group.known < _FEWEST:
        return False
    expected = (row.base_share or 0) * group.known
    return max(Decimal(row.count), Decimal(expected)) >= _FEW_OF_A_VALUE


def _share_words(group: ClassPortrait, row: ShareRow) -> str:
    return _("%(name)s “%(value)s” %(share)s (everybody %(base)s)") % {
        "name": shown.label_in(group.label),
        "value": row.value,
        "share": shown.ratio(row.share),
        "base": shown.ratio(row.base_share),
    }


def _metric_difference(metric: MetricPortrait) -> Difference | None:
    index = mean_index(metric)
    if index is None or (metric.group.known or 0) < _FEWEST:
        return None
    return Difference(_mean_words(metric), index)


def mean_index(metric: MetricPortrait) -> int | None:
    """100 x the group's mean over everybody's, rounded half-up; None where one is missing or
    everybody's is 0."""
    mean, base = metric.group.mean, metric.base.mean
    if mean is None or not base or base < 0 or mean < 0:
        return None
    return int((100 * mean / base).to_integral_value(ROUND_HALF_UP))


def _mean_words(metric: MetricPortrait) -> str:
    return _("%(name)s on average %(mean)s (everybody %(base)s)") % {
        "name": shown.label_in(metric.label),
        "mean": shown.number(metric.group.mean, unit=metric.unit),
        "base": shown.number(metric.base.mean, unit=metric.unit),
    }


def _median_words(metric: MetricPortrait) -> str:
    return _("%(name)s: half of them at most %(median)s (everybody %(base)s)") % {
        "name": shown.label_in(metric.label),
        "median": shown.number(metric.group.median, unit=metric.unit),
        "base": shown.number(metric.base.median, unit=metric.unit),
    }


def plan_boxes(portrait: Portrait, *, catalog: Catalog, purpose: str = "") -> tuple[Box, ...]:
    """The seven boxes of a plan, filled with what the portrait knows."""
    described = [group for group in portrait.tags if not _is_derived(group, catalog)]
    behaviour = [group for group in portrait.tags if _is_derived(group, catalog)]
    places = [group for group in described if _is_place(group.key)]
    people = [group for group in described if not _is_place(group.key)]
    known = [metric for metric in portrait.metrics if (metric.group.known or 0) >= _FEWEST]
    money = [metric for metric in known if metric.unit == "money"]
    pattern = ngettext(
        "%(size)s customer, %(share)s of everybody",
        "%(size)s customers, %(share)s of everybody",
        portrait.size,
    )
    size = pattern % {
        "size": shown.count(portrait.size),
        "share": shown.part(portrait.size, portrait.base_size),
    }
    return (
        Box(_("Who"), _("Who are they?"), (size, *_strongest(people))),
        Box(
            pgettext("a question of 5W2H", "What"), _("What do they buy and like?"),
            (*_strongest(behaviour), *_means(known, catalog, _is_about_lines)),
        ),
        Box(
            _("When"), _("When were they here, and how often do they come?"),
            _medians(known, catalog, _is_habit),
        ),
        Box(
            pgettext("a question of 5W2H", "Where"), _("Where do they buy?"),
            (*_strongest(places), *_means(known, catalog, _is_about_place)),
        ),
        Box(
            pgettext("a question of 5W2H", "Why"), _("What is the purpose?"),
            (purpose,) if purpose else (),
        ),
        Box(_("How"), _("How do they buy?"), _means(known, catalog, _is_share)),
        Box(
            _("How much"), _("How much do they spend?"),
            tuple(_mean_words(metric) for metric in money if _is_spending(metric, catalog))[:3],
        ),
    )  # fmt: skip


NOTHING_KNOWN = gettext_lazy("The portrait knows nothing about this; the plan must say it.")


def _is_derived(group: ClassPortrait, catalog: Catalog) -> bool:
    found = catalog.tag_groups.get(group.key)
    return found is not None and found.is_derived


def _is_place(key: str) -> bool:
    return any(word in key for word in _PLACES)


def _strongest(groups: Iterable[ClassPortrait]) -> tuple[str, ...]:
    """Of each group the value that is most overrepresented, the clearest first."""
    best: list[Difference] = []
    for group in groups:
        rows = [row for row in group.rows if _says_something(row, group) and (row.tgi or 0) > 100]
        if rows:
            row = max(rows, key=lambda each: each.tgi or 0)
            best.append(Difference(_share_words(group, row), row.tgi or 0))
    best.sort(key=lambda each: each.index, reverse=True)
    return tuple(each.words for each in best[:3])


def _chosen(known: Iterable[MetricPortrait], catalog: Catalog, fits: Any) -> list[MetricPortrait]:
    return [metric for metric in known if fits(catalog.metrics.get(metric.key), metric.key)][:3]


def _means(known: Iterable[MetricPortrait], catalog: Catalog, fits: Any) -> tuple[str, ...]:
    return tuple(_mean_words(metric) for metric in _chosen(known, catalog, fits))


def _medians(known: Iterable[MetricPortrait], catalog: Catalog, fits: Any) -> tuple[str, ...]:
    return tuple(_median_words(metric) for metric in _chosen(known, catalog, fits))


def _is_about_lines(metric: Metric | None, key: str) -> bool:
    return (
        isinstance(metric, FactMetric)
        and metric.source == "order_lines"
        and not _is_share(metric, key)
    )


def _is_habit(metric: Metric | None, key: str) -> bool:
    return isinstance(metric, FactMetric) and metric.aggregate.fn in _HABITS


def _is_about_place(metric: Metric | None, key: str) -> bool:
    return isinstance(metric, FactMetric) and _is_place(metric.aggregate.field or "")


def _is_share(metric: Metric | None, key: str) -> bool:
    return isinstance(metric, FactMetric) and metric.aggregate.fn == "share"


def _is_spending(metric: MetricPortrait, catalog: Catalog) -> bool:
    found = catalog.metrics.get(metric.key)
    return not isinstance(found, FactMetric) or (
        found.source == "orders" and found.aggregate.field in ("amount", "net_amount")
    )
