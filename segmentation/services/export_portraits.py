"""Export of a group's portrait: tags, layers and metrics against everybody, as its page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .export_basis import answering_run, metric_lines, run_lines
from .exporting import ExportColumn, ExportScope, ExportSource, register_source
from .portrait_results import ClassPortrait, MetricPortrait, Portrait
from .run_catalogs import run_catalog
from .spreadsheets import Cell, Row
from .subject_portraits import portrait_of, subject_name
from .subjects import Subject, is_hidden_subject, read_subject, subject_members
from .wording import in_language


@register_source
class PortraitFigures(ExportSource):
    """Parameters: `subject` (as in the page's address), `run` (left out: the newest published)."""

    name = "portrait"
    title = gettext_lazy("Portrait of a group")
    permissions = ("segmentation.view_customer",)

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        run = answering_run(scope.parameters)
        text = str(scope.parameters.get("subject") or "")
        subject = read_subject(text, run=run, viewer=scope.user)
        subject_members(subject, run=run, viewer=scope.user)
        return {"subject": str(subject), "run": run.pk}

    def is_hidden(self, parameters: Mapping[str, Any]) -> bool:
        return is_hidden_subject(str(parameters.get("subject") or ""))

    def subject(self, parameters: Mapping[str, Any]) -> str:
        return str(parameters["subject"])

    def about(self, scope: ExportScope) -> str:
        return subject_name(self._subject(scope))

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        run = answering_run(scope.parameters)
        found = self._portrait(scope)
        catalog = run_catalog(run)
        lines: list[tuple[str, Cell]] = [
            *run_lines(run),
            (_("Customers in the group"), found.size),
            (_("Everybody"), found.base_size),
        ]
        if found.is_hidden:
            lines.append((_("Note"), _("Cells of fewer than 30 people are left empty.")))
        return [*lines, *metric_lines(run, catalog, catalog.metrics, zone=scope.zone)]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        names = (
            ("kind", _("Kind")), ("key", _("Key")), ("name", _("Name")), ("value", _("Value")),
            ("known", _("Customers")), ("share", _("Share or coverage")),
            ("base_known", _("Everybody: customers")),
            ("base_share", _("Everybody: share or coverage")), ("tgi", _("TGI")),
            ("mean", _("Mean")), ("base_mean", _("Everybody: mean")),
            ("low_quartile", _("Lower quartile")), ("median", _("Median")),
            ("high_quartile", _("Upper quartile")),
            ("base_low_quartile", _("Everybody: lower quartile")),
            ("base_median", _("Everybody: median")),
            ("base_high_quartile", _("Everybody: upper quartile")),
        )  # fmt: skip
        return tuple(ExportColumn(name, title) for name, title in names)

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        found = self._portrait(scope)
        for kind, classes in ((_("Tag"), found.tags), (_("Layer"), found.layerings)):
            for each in classes:
                yield from _class_rows(kind, each)
        for metric in found.metrics:
            yield _metric_row(metric)

    def _subject(self, scope: ExportScope) -> Subject:
        run = answering_run(scope.parameters)
        return read_subject(str(scope.parameters["subject"]), run=run, viewer=scope.user)

    def _portrait(self, scope: ExportScope) -> Portrait:
        run, subject = answering_run(scope.parameters), self._subject(scope)
        return portrait_of(subject, run=run, viewer=scope.user)


def _class_rows(kind: str, found: ClassPortrait) -> Iterator[Row]:
    empty: list[Cell] = [None] * 8
    for row in found.rows:
        yield (
            kind, found.key, in_language(found.label), row.value, row.count, row.share,
            row.base_count, row.base_share, row.tgi, *empty,
        )  # fmt: skip


def _metric_row(metric: MetricPortrait) -> Row:
    own, base = metric.group, metric.base
    return (
        _("Metric"), metric.key, in_language(metric.label), None, own.known, own.coverage,
        base.known, base.coverage, None, own.mean, base.mean, own.low_quartile, own.median,
        own.high_quartile, base.low_quartile, base.median, base.high_quartile,
    )  # fmt: skip
