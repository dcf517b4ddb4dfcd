"""Layerings: the list, and the page of one with its cuts and layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.definitions import Catalog
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError
from segmentation.domain.values import shown as shown_value
from segmentation.models import Layering, Metric, Run
from segmentation.services.distributions import LayerFigures, layer_means
from segmentation.services.group_trends import value_trends
from segmentation.services.run_catalogs import run_catalog

from . import shown
from .base import EMPTY
from .charts import several_sizes_chart
from .definition_pages import DefinitionPageAdmin, current_run
from .definition_parts import is_newer_than
from .definitions import as_of_note
from .exports import export_url
from .metrics import portrait_link
from .tag_groups import list_sizes, recompute_url, seen_classes, sizes_words


@admin.register(Layering)
class LayeringAdmin(DefinitionPageAdmin):
    kind = "layering"
    list_display = ("star", "name", "key", "metric", "layers", "folder", "owner", "changed")
    nothing_yet = gettext_lazy(
        "A layering cuts the customers into ordered layers by one metric, such as low, middle and "
        "high by the spend of a year. Make one from nothing or from a definitions document."
    )

    def complete(self, rows: list[Any], *, request: HttpRequest) -> None:
        sizes = list_sizes("layer", [row.key for row in rows], user=request.user)
        keys = {str(row.document.get("metric")) for row in rows}
        named = {metric.key: metric for metric in Metric.objects.filter(key__in=keys)}
        for row in rows:
            row.sizes = sizes.get(row.key, {})
            row.shown_metric = named.get(str(row.document.get("metric")))

    @admin.display(description=gettext_lazy("metric"))
    def metric(self, layering: Any) -> str:
        found = layering.shown_metric
        return shown.label(found) if found else str(layering.document.get("metric", EMPTY))

    @admin.display(description=gettext_lazy("layers, lowest first"))
    def layers(self, layering: Any) -> str:
        return sizes_words(list(layering.document.get("layers") or ()), layering.sizes)

    def facts(
        self, row: Any, *, request: HttpRequest, run: Run | None
    ) -> Iterable[tuple[Any, Any]]:
        key = str(row.document.get("metric", ""))
        metric = Metric.objects.filter(key=key).first()
        yield (
            _("Cut metric"),
            shown.link("segmentation_metric_change", args=[metric.pk], text=shown.label(metric))
            if metric and request.user.has_perm("segmentation.view_metric")
            else (shown.label(metric) if metric else key),
        )
        cuts = row.document.get("cuts")
        is_share = isinstance(cuts, Mapping)
        yield _("Cuts"), _("percentiles, frozen in each run") if is_share else _("fixed values")
        yield _("Layers"), shown.count(len(row.document.get("layers") or ()))
        yield _("As of"), shown.instant(run.as_of if run else None)

    def context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        run = current_run(request)
        catalog = _catalog(run)
        layers = list(row.document.get("layers") or ())
        sizes = seen_classes("layer", row.key, run=run, user=request.user)
        trends = value_trends("layer", row.key, values=layers, viewer=request.user)
        means = {} if run is None else layer_means(run, layering=row.key, viewer=request.user)
        panels = [_layers_table(row, sizes, run=run, catalog=catalog, user=request.user)]
        if means and catalog is not None:
            panels.append(_means_table(layers, means, catalog=catalog))
        return {
            **self.definition_context(row, request=request),
            "panels": panels,
            "charts": [
                several_sizes_chart(
                    [(layer, points) for layer, points in trends.items() if points],
                    title=_("Customers per layer over time"),
                    name="layers",
                )
            ],
            "not_computed": not sizes,
            "recompute_url": recompute_url(request),
        }


def _catalog(run: Run | None) -> Catalog | None:
    try:
        return None if run is None else run_catalog(run)
    except NotFoundError:
        return None


def frozen_cuts(row: Layering, *, run: Run | None, unit: str) -> list[str]:
    """The values at which the run cut, lowest first, as the metric is shown."""
    if run is None:
        return []
    found = []
    for top, below in run.cuts.get(row.key) or ():
        text = shown_value(
            Fraction(int(top), int(below)),
            unit=unit,  # type: ignore[arg-type]
            currency=settings.BASE_CURRENCY,
        )
        found.append(EMPTY if text is None else shown.number(Decimal(text), unit=unit))
    return found


def _layers_table(
    row: Layering, sizes: Mapping[str, int], *, run: Run | None, catalog: Catalog | None, user: Any
) -> shown.Table:
    document = row.document
    metric = catalog.metrics.get(str(document.get("metric"))) if catalog else None
    unit = metric.unit if metric else "count"
    cuts = document.get("cuts") or []
    shares = cuts.get("percentiles") if isinstance(cuts, Mapping) else None
    # Cuts that were published since are not those of the run.
    is_newer = is_newer_than(run, Ref("layering", row.key), document)
    frozen = [] if is_newer else frozen_cuts(row, run=run, unit=unit)
    asked = shares or cuts
    marks = frozen or [
        f"P{cut}" if shares else shown.number(Decimal(str(cut)), unit=unit) for cut in asked
    ]
    if shares and frozen:
        marks = [f"{value} (P{cut})" for value, cut in zip(frozen, shares, strict=False)]
    total = sum(sizes.values())
    rows = []
    for layer, low, high in zip(
        document.get("layers") or [], [EMPTY, *marks], [*marks, EMPTY], strict=False
    ):
        subject = {"layering": row.key, "layer": layer}
        members = export_url("layer", user=user, parameters=subject)
        rows.append(
            (
                portrait_link(f"layer:{row.key}/{layer}", text=layer, user=user),
                low,
                high,
                shown.count(sizes.get(layer)),
                shown.part(sizes.get(layer), total),
                shown.address_link(members, text=_("Export")) if members else EMPTY,
            )
        )
    headers = (
        _("layer"), _("from (included)"), _("to (not included)"), _("customers"), _("share"),
        _("members"),
    )  # fmt: skip
    return shown.Table(
        _("Layers"), headers, rows, note=as_of_note(run), numeric=frozenset({1, 2, 3, 4})
    )


def _means_table(
    layers: list[str], means: Mapping[str, tuple[LayerFigures, ...]], *, catalog: Catalog
) -> shown.Table:
    rows = []
    for key, found in means.items():
        by_layer = {each.layer: each for each in found}
        metric = catalog.metrics[key]
        cells = [
            shown.number(by_layer[layer].mean, unit=metric.unit) if layer in by_layer else EMPTY
            for layer in layers
        ]
        rows.append((shown.label_in(metric.label), *cells))
    return shown.Table(
        _("Mean of each metric per layer"),
        (_("metric"), *(shown.as_written(layer) for layer in layers)),
        rows,
        numeric=frozenset(range(1, len(layers) + 1)),
        note=_("of the customers with a value"),
    )
