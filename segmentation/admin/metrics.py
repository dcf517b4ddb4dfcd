"""Metrics: the list, and the definition sheet of one."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.windows import resolve
from segmentation.models import Metric, Run
from segmentation.services.distributions import Distribution, distribution
from segmentation.services.portrait_results import Bucket
from segmentation.services.wording import interval_words, window_words

from . import shown, wording
from .base import EMPTY
from .charts import Chart, Series
from .definition_pages import DefinitionPageAdmin, current_run
from .exports import export_url
from .metric_words import TIMES, VALUE_KINDS, exclusions, filter_words, formula_words
from .portrait_links import portrait_url
from .rule_words import Names, in_both_languages, names, read_window


@admin.register(Metric)
class MetricAdmin(DefinitionPageAdmin):
    kind = "metric"
    page_template = "admin/definitions/metric.html"
    list_display = (
        "star", "name", "key", "computes", "window", "unit", "folder", "owner", "changed",
    )  # fmt: skip
    nothing_yet = gettext_lazy(
        "A metric is a number per customer, such as the spend of the past 90 days. Make one from "
        "nothing, from a template or from a definitions document."
    )

    @admin.display(description=gettext_lazy("computes"))
    def computes(self, metric: Metric) -> str:
        return wording.metric_words(metric.document)

    @admin.display(description=gettext_lazy("window"))
    def window(self, metric: Metric) -> str:
        window = metric.document.get("window")
        return window_words(read_window(window)) if window else EMPTY

    @admin.display(description=gettext_lazy("unit"))
    def unit(self, metric: Metric) -> Any:
        return wording.UNITS.get(metric.document.get("unit", ""), EMPTY)

    def context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        run = current_run(request)
        known = names()
        found = None if run is None else distribution(run, row.key, viewer=request.user)
        charts = [] if found is None else [spread_chart(found, key=row.key)]
        return {
            **self.definition_context(row, request=request),
            "sheet": sheet(row, run=run, known=known),
            "exclusions": exclusions(row.document),
            "facts": figures(found, run=run),
            "charts": charts,
            "panels": [] if found is None else layer_tables(found, user=request.user),
            "panels_beside": True,
            "not_computed": found is None,
            "export_url": export_url("metrics", user=request.user, parameters={"key": row.key}),
            "recompute_url": reverse("admin:segmentation_run_recompute")
            if request.user.has_perm("segmentation.request_run")
            else "",
        }


def sheet(row: Metric, *, run: Run | None, known: Names) -> list[tuple[str, Any]]:
    """The lines of the definition sheet; the formula in both languages."""
    document = row.document
    lines: list[tuple[str, Any]] = [
        (
            _("Computes (%(language)s)") % {"language": language},
            words,
        )
        for _code, language, words in in_both_languages(
            lambda: formula_words(document, known=known)
        )
    ]
    window = document.get("window")
    if window:
        lines.append((_("Window"), window_words(read_window(window))))
        if run is not None:
            zone = ZoneInfo(timezone.get_current_timezone_name())
            ends = resolve(read_window(window), as_of=run.as_of, zone=zone)
            lines.append((_("Interval now"), f"{interval_words(ends, zone=zone)} ({zone.key})"))
    if document.get("time") and document.get("source") in ("orders", "order_lines"):
        lines.append((_("By the time"), TIMES[document["time"]]()))
    lines.append((_("Only facts with"), filter_words(document, known=known) or _("all facts")))
    unit = wording.UNITS.get(document.get("unit", ""), EMPTY)
    money = document.get("unit") == "money"
    lines.append((_("Unit"), f"{unit} ({shown.currency()})" if money else unit))
    if document.get("value_kind"):
        lines.append((_("Value of"), VALUE_KINDS[document["value_kind"]]()))
    return lines


def figures(found: Distribution | None, *, run: Run | None) -> list[tuple[str, Any]]:
    """Coverage, mean and quartiles for the head of the page."""
    if found is None or run is None:
        return []
    own, unit = found.figures, found.unit
    return [
        (_("As of"), shown.instant(run.as_of)),
        (_("Customers with a value"), shown.count(own.known)),
        (_("Coverage"), shown.ratio(own.coverage)),
        (_("Mean"), shown.number(own.mean, unit=unit)),
        (_("Lower quartile"), shown.number(own.low_quartile, unit=unit)),
        (_("Median"), shown.number(own.median, unit=unit)),
        (_("Upper quartile"), shown.number(own.high_quartile, unit=unit)),
    ]


def bucket_words(bucket: Bucket, *, unit: str) -> str:
    """Which values lie in a bucket."""
    low = None if bucket.low is None else shown.number(bucket.low, unit=unit)
    high = None if bucket.high is None else shown.number(bucket.high, unit=unit)
    if low is None and high is None:
        return _("all values")
    if low is None:
        return _("below %(high)s") % {"high": high}
    if high is None:
        return _("%(low)s and above") % {"low": low}
    return _("%(low)s to below %(high)s") % {"low": low, "high": high}


def spread_chart(found: Distribution, *, key: str) -> Chart:
    """How many of those with a value lie in each bucket."""
    words = [bucket_words(bucket, unit=found.unit) for bucket in found.buckets]
    rows = [
        (text, shown.ratio(bucket.share)) for text, bucket in zip(words, found.buckets, strict=True)
    ]
    return Chart(
        name="spread",
        title=_("Distribution over everybody with a value"),
        labels=words,
        series=[
            Series(
                _("Share of customers with a value"),
                [
                    None if each.share is None else each.share * Decimal(100)
                    for each in found.buckets
                ],
                shape="bar",
            )
        ],
        unit="%",
        table=shown.Table("", (_("values"), _("share")), rows, numeric=frozenset({1})),
        empty=_("No customer has a value."),
        options={"horizontal": True, "whole": False},
    )


def layer_tables(found: Distribution, *, user: Any) -> list[shown.Table]:
    """The mean in each layer of each layering."""
    return [
        shown.Table(
            _("By layer: %(layering)s") % {"layering": shown.label_in(layering.label)},
            (_("layer"), _("customers"), _("with a value"), _("mean")),
            [
                (
                    portrait_link(f"layer:{layering.key}/{each.layer}", text=each.layer, user=user),
                    shown.count(each.size),
                    shown.count(each.known),
                    shown.number(each.mean, unit=found.unit),
                )
                for each in layering.layers
            ],
            numeric=frozenset({1, 2, 3}),
        )
        for layering in found.layerings
    ]


def portrait_link(subject: str, *, text: str, user: Any) -> SafeString | str:
    """The name of a group, leading to its portrait for those who may see it."""
    address = portrait_url(subject, user=user)
    return shown.address_link(address, text=text) if address else text
