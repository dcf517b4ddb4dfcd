"""Export of metrics' definition sheets: the words of their pages, a row for each.

A source of the admin's layer because the words are; workers load the admin like every process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError
from segmentation.domain.windows import resolve
from segmentation.models import Card, Metric, Segment
from segmentation.queries import newest_published_run
from segmentation.services.exporting import (
    ExportColumn,
    ExportScope,
    ExportSource,
    register_source,
)
from segmentation.services.relations import relations
from segmentation.services.spreadsheets import Cell, Row
from segmentation.services.wording import interval_words, window_words

from . import shown
from .metric_words import TIMES, VALUE_KINDS, exclusions, filter_words, formula_words
from .rule_words import Names, names, read_window
from .wording import UNITS


@register_source
class MetricSheets(ExportSource):
    """Parameters: `key` (left out: every living metric)."""

    name = "metrics"
    title = gettext_lazy("Definition sheets of metrics")
    permissions = ("segmentation.view_metric",)

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        key = scope.parameters.get("key")
        if not key:
            return {}
        if not Metric.objects.filter(key=key).exists():
            raise NotFoundError(_("There is no such metric."))
        return {"key": key}

    def subject(self, parameters: Mapping[str, Any]) -> str:
        return f"metric:{parameters['key']}" if parameters.get("key") else "rows:metrics"

    def about(self, scope: ExportScope) -> str:
        key = scope.parameters.get("key")
        return shown.label(Metric.objects.get(key=key)) if key else _("everything")

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        return [(_("As of"), _as_of(scope)), (_("Left out"), _("restricted segments"))]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return (
            ExportColumn("key", _("Key")),
            ExportColumn("name", _("Name")),
            ExportColumn("unit", _("Unit")),
            ExportColumn("value_kind", _("Kind of value")),
            ExportColumn("what", _("What is computed")),
            ExportColumn("filter", _("Only facts where")),
            ExportColumn("time", _("By the time")),
            ExportColumn("window", _("Window")),
            ExportColumn("interval", _("Interval")),
            ExportColumn("exclusions", _("What counts and what does not")),
            ExportColumn("used_by", _("Used by")),
            ExportColumn("owner", _("Owner")),
            ExportColumn("version", _("Version")),
            ExportColumn("changed", _("Changed at")),
        )

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        known = names()
        owners = dict(Card.objects.filter(kind="metric").values_list("key", "owner__username"))
        hidden = frozenset(Segment.objects.filter(is_hidden=True).values_list("key", flat=True))
        metrics = Metric.objects.filter(retired_at=None).order_by("key")
        if scope.parameters.get("key"):
            metrics = Metric.objects.filter(key=scope.parameters["key"])
        for metric in metrics:
            users = relations(Ref("metric", metric.key), viewer=scope.user).used_by
            used_by = ", ".join(
                shown.label_in(user.label)
                for user in users
                # A sheet is handed round: it names nothing restricted, whoever exports it.
                if user.is_direct and not (user.ref.kind == "segment" and user.ref.key in hidden)
            )
            owner = owners.get(metric.key) or ""
            yield _row(metric, scope=scope, known=known, used_by=used_by, owner=owner)


def _row(metric: Metric, *, scope: ExportScope, known: Names, used_by: str, owner: str) -> Row:
    document = metric.document
    window = interval = time = ""
    if "formula" not in document:
        found = read_window(document.get("window") or {})
        ends = resolve(found, as_of=_as_of(scope), zone=scope.zone)
        window, interval = window_words(found), interval_words(ends, zone=scope.zone)
        time = str(document.get("time") or "placed_at")
        time = TIMES[time]() if document.get("source") in ("orders", "order_lines") else ""
    kind = VALUE_KINDS.get(str(document.get("value_kind")))
    return (
        metric.key,
        shown.label(metric),
        str(UNITS.get(str(document.get("unit")), document.get("unit"))),
        kind() if kind else "",
        formula_words(document, known=known),
        filter_words(document, known=known),
        time,
        window,
        interval,
        " ".join(exclusions(document)),
        used_by,
        owner,
        metric.version,
        metric.updated_at,
    )


def _as_of(scope: ExportScope) -> Any:
    """The as-of of the newest published run: the intervals are those of the figures on screen."""
    run = newest_published_run()
    return scope.now if run is None else run.as_of
