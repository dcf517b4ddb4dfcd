"""Exports of groups of customers: members of a segment, of an uploaded list, of a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pyroaring import BitMap

from segmentation.domain.definitions import Catalog
from segmentation.domain.dependencies import Ref, catalog_graph, chains_from, metrics_needed
from segmentation.domain.errors import NotFoundError
from segmentation.domain.values import shown
from segmentation.engine.layer_rows import layer_rows
from segmentation.models import CustomerList, RunCount, Segment, SegmentResult
from segmentation.permissions import (
    row_scope,
    sight,
    visible_lists,
    visible_results,
    visible_segments,
)

from .customer_lists import list_members
from .export_basis import (
    CUSTOMER_COLUMNS,
    answering_run,
    customer_rows,
    label_column,
    metric_lines,
    run_lines,
)
from .exporting import ExportColumn, ExportScope, ExportSource, register_source
from .run_catalogs import run_catalog
from .spreadsheets import Cell, Row
from .wording import in_language

_VIEW_CUSTOMER = "segmentation.view_customer"


@register_source
class SegmentMembers(ExportSource):
    """Parameters: `key`, `run` (left out: the newest published)."""

    name = "segment"
    title = gettext_lazy("Members of a segment")
    permissions = ("segmentation.view_segment", _VIEW_CUSTOMER)

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        key, run = scope.parameters.get("key"), answering_run(scope.parameters)
        if not visible_segments(scope.user).filter(key=key).exists():
            raise NotFoundError(_("There is no such segment."))
        if not visible_results(scope.user).filter(run=run, segment__key=key).exists():
            raise NotFoundError(_("No run has published this yet."))
        return {"key": key, "run": run.pk}

    def is_hidden(self, parameters: Mapping[str, Any]) -> bool:
        return Segment.objects.filter(key=parameters.get("key"), is_hidden=True).exists()

    def subject(self, parameters: Mapping[str, Any]) -> str:
        return f"segment:{parameters['key']}"

    def about(self, scope: ExportScope) -> str:
        named = visible_segments(scope.user).filter(key=scope.parameters["key"])
        return str(named.values_list(label_column(), flat=True).get())

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        run = answering_run(scope.parameters)
        catalog = run_catalog(run)
        segment = catalog.segments.get(scope.parameters["key"])
        keys = metrics_needed(catalog, [segment.rule]) if segment else ()
        is_hidden = self.is_hidden(scope.parameters)
        visibility = _("restricted: named roles only") if is_hidden else _("internal: all staff")
        return [
            *run_lines(run),
            (_("Visibility"), visibility),
            *metric_lines(run, catalog, keys, zone=scope.zone),
        ]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return (*CUSTOMER_COLUMNS, ExportColumn("entered", _("Entered at this run")))

    def size(self, scope: ExportScope) -> int | None:
        return len(self._members(scope))

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        entered = BitMap.deserialize(bytes(self._result(scope).entered))
        members = self._members(scope)
        return customer_rows(((each, (each in entered,)) for each in members), scope=scope)

    def _members(self, scope: ExportScope) -> BitMap:
        """In the row scope, without the erased and, of a hidden segment, those who object."""
        stored = BitMap.deserialize(bytes(self._result(scope).members))
        is_hidden = self.is_hidden(scope.parameters)
        return sight(scope.user).members(stored, is_hidden=is_hidden)

    def _result(self, scope: ExportScope) -> SegmentResult:
        asked = scope.parameters
        return visible_results(scope.user).get(run_id=asked["run"], segment__key=asked["key"])


@register_source
class ListMembers(ExportSource):
    """Parameters: `key`. Of a hidden list nobody who objects, as on its page."""

    name = "list"
    title = gettext_lazy("Members of a list")
    permissions = ("segmentation.view_customerlist", _VIEW_CUSTOMER)

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        key = scope.parameters.get("key")
        if not visible_lists(scope.user).filter(key=key).exists():
            raise NotFoundError(_("There is no such list."))
        return {"key": key}

    def is_hidden(self, parameters: Mapping[str, Any]) -> bool:
        return CustomerList.objects.filter(key=parameters.get("key"), is_hidden=True).exists()

    def subject(self, parameters: Mapping[str, Any]) -> str:
        return f"list:{parameters['key']}"

    def about(self, scope: ExportScope) -> str:
        named = visible_lists(scope.user).filter(key=scope.parameters["key"])
        return str(named.values_list(label_column(), flat=True).get())

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        found = visible_lists(scope.user).get(key=scope.parameters["key"])
        return [(_("List last changed at"), found.updated_at)]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return CUSTOMER_COLUMNS

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        row = visible_lists(scope.user).get(key=scope.parameters["key"])
        members = sight(scope.user).members(list_members(row), is_hidden=row.is_hidden)
        return customer_rows(((each, ()) for each in members), scope=scope)


@register_source
class LayerMembers(ExportSource):
    """Parameters: `layering`, `layer`, `run` (left out: the newest published)."""

    name = "layer"
    title = gettext_lazy("Members of a layer")
    permissions = ("segmentation.view_layering", _VIEW_CUSTOMER)

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        run = answering_run(scope.parameters)
        layering = run_catalog(run).layerings.get(str(scope.parameters.get("layering")))
        layer = scope.parameters.get("layer")
        if layering is None or layer not in layering.layers:
            raise NotFoundError(_("The run has no such layer."))
        return {"layering": layering.key, "layer": layer, "run": run.pk}

    def subject(self, parameters: Mapping[str, Any]) -> str:
        return f"layer:{parameters['layering']}/{parameters['layer']}"

    def about(self, scope: ExportScope) -> str:
        catalog = run_catalog(answering_run(scope.parameters))
        layering = catalog.layerings[scope.parameters["layering"]]
        return f"{in_language(layering.label)} · {scope.parameters['layer']}"

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        run = answering_run(scope.parameters)
        catalog = run_catalog(run)
        keys = all_metrics(catalog, catalog.layerings[scope.parameters["layering"]].metric)
        return [*run_lines(run), *metric_lines(run, catalog, keys, zone=scope.zone)]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        catalog = run_catalog(answering_run(scope.parameters))
        metric = catalog.metrics[catalog.layerings[scope.parameters["layering"]].metric]
        return (*CUSTOMER_COLUMNS, ExportColumn("value", in_language(metric.label)))

    def size(self, scope: ExportScope) -> int | None:
        if row_scope(scope.user) is not None:
            return None
        asked = scope.parameters
        counted = RunCount.objects.filter(
            run_id=asked["run"],
            kind=RunCount.Kind.LAYER,
            key=asked["layering"],
            value=asked["layer"],
        )
        return counted.values_list("size", flat=True).first()

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        asked = scope.parameters
        run = answering_run(asked)
        catalog = run_catalog(run)
        unit = catalog.metrics[catalog.layerings[asked["layering"]].metric].unit
        members = layer_rows(run, catalog, layering=asked["layering"], layer=asked["layer"])

        def cell(value: Fraction | None) -> Cell:
            text = shown(value, unit=unit, currency=settings.BASE_CURRENCY)
            return None if text is None else Decimal(text)

        return customer_rows(((each, (cell(value),)) for each, value in members), scope=scope)


def all_metrics(catalog: Catalog, key: str) -> tuple[str, ...]:
    """A metric and those its formula is made of."""
    chains = chains_from(catalog_graph(catalog), Ref("metric", key))
    return (key, *(ref.key for ref in chains if ref.kind == "metric"))
