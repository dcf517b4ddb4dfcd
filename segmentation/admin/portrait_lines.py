"""The figures of a portrait as its page shows them; what is suppressed reads "not shown"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from segmentation.services.portrait_results import ClassPortrait, MetricPortrait, ShareRow

from . import shown
from .base import EMPTY
from .metrics import bucket_words
from .portrait_words import mean_index

NOT_SHOWN = gettext_lazy("not shown")
_FULL_BAR = 200  # points of TGI above 100 that fill the right half


@dataclass(frozen=True)
class ClassLine:
    """One value of a tag group or layering, ready to show. Bar widths are per cent of a half."""

    value: Any
    count: str | Promise
    share: str
    other: str | Promise
    base_share: str
    tgi: str
    over: int
    under: int
    is_suppressed: bool


@dataclass(frozen=True)
class ClassCard:
    """One tag group or layering."""

    title: str
    coverage: str | Promise
    base_coverage: str
    lines: Sequence[ClassLine]


@dataclass(frozen=True)
class MetricLine:
    """One metric, ready to show, with its buckets."""

    name: str
    mean: str | Promise
    other: str
    base_mean: str
    index: str
    over: int
    under: int
    median: str | Promise
    base_median: str
    quartiles: str
    coverage: str | Promise
    base_coverage: str
    buckets: Sequence[tuple[str, str | Promise, str]]


def class_cards(found: Sequence[ClassPortrait], beside: Sequence[ClassPortrait]) -> list[ClassCard]:
    """Tag groups or layerings with the shares of the other group, if there is one."""
    others = {(each.key, row.value): row for each in beside for row in each.rows}
    return [
        ClassCard(
            title=shown.label_in(each.label),
            coverage=NOT_SHOWN if each.coverage is None and each.known is None
            else shown.ratio(each.coverage),
            base_coverage=shown.ratio(each.base_coverage),
            lines=[_class_line(row, others.get((each.key, row.value))) for row in each.rows],
        )
        for each in found
    ]  # fmt: skip


def _class_line(row: ShareRow, other: ShareRow | None) -> ClassLine:
    over, under = _bar(row.tgi)
    return ClassLine(
        value=row.value,
        count=NOT_SHOWN if row.is_suppressed else shown.count(row.count),
        share=shown.ratio(row.share),
        other=_other_share(other),
        base_share=shown.ratio(row.base_share),
        tgi=EMPTY if row.tgi is None else shown.count(row.tgi),
        over=over,
        under=under,
        is_suppressed=row.is_suppressed,
    )


def _other_share(row: ShareRow | None) -> Any:
    if row is None:
        return EMPTY
    return NOT_SHOWN if row.is_suppressed else shown.ratio(row.share)


def _bar(index: int | None) -> tuple[int, int]:
    """How much of the right and of the left half a bar fills, in per cent."""
    if index is None:
        return 0, 0
    if index >= 100:
        return min(100, round((index - 100) * 100 / _FULL_BAR)), 0
    return 0, 100 - index


def metric_lines(
    found: Sequence[MetricPortrait], beside: Sequence[MetricPortrait]
) -> list[MetricLine]:
    """Metrics with the means of the other group, if there is one."""
    others = {each.key: each for each in beside}
    return [_metric_line(each, others.get(each.key)) for each in found]


def _metric_line(metric: MetricPortrait, other: MetricPortrait | None) -> MetricLine:
    own, base, unit = metric.group, metric.base, metric.unit
    index = mean_index(metric)
    over, under = _bar(index)
    is_hidden = own.known is None and own.mean is None
    return MetricLine(
        name=shown.label_in(metric.label),
        mean=_or_few(own.mean, unit, is_hidden),
        other=EMPTY if other is None else shown.number(other.group.mean, unit=unit),
        base_mean=shown.number(base.mean, unit=unit),
        index=EMPTY if index is None else shown.count(index),
        over=over,
        under=under,
        median=_or_few(own.median, unit, is_hidden),
        base_median=shown.number(base.median, unit=unit),
        quartiles=EMPTY
        if own.low_quartile is None
        else f"{shown.number(own.low_quartile, unit=unit)} – "
        f"{shown.number(own.high_quartile, unit=unit)}",
        coverage=NOT_SHOWN
        if own.coverage is None and own.known is None
        else shown.ratio(own.coverage),
        base_coverage=shown.ratio(base.coverage),
        buckets=[
            (
                bucket_words(bucket, unit=unit),
                NOT_SHOWN if bucket.share is None and own.known != 0 else shown.ratio(bucket.share),
                shown.ratio(bucket.base_share),
            )
            for bucket in metric.buckets
        ],
    )


def _or_few(value: Decimal | None, unit: str, is_hidden: bool) -> Any:
    return NOT_SHOWN if is_hidden else shown.number(value, unit=unit)
