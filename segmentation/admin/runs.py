"""Pages of runs and of what they published.

`membership.admin` registers the run page: starting a run is a service of the app above.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.models import Layering, Run, RunCount, SegmentResult, TagGroup
from segmentation.permissions import (
    hidden_words,
    mentions_hidden,
    visible_results,
    visible_segments,
)

from . import shown
from .base import EMPTY, KeysetAdmin
from .definitions import visibility_badge

STAGES = {
    "mirror": _("Mirror"),
    "plan": _("Plan"),
    "facts": _("Facts"),
    "metrics": _("Metrics"),
    "cuts": _("Cut points"),
    "rules": _("Rules"),
    "tiers": _("Tiers"),
    "snapshot": _("Snapshot"),
    "bitmaps": _("Segment results"),
    "hashes": _("Result hash"),
    "parity": _("Parity check"),
    "postgresql": _("Writing to PostgreSQL"),
    "total": _("Total"),
}
TierNames = Mapping[tuple[str, str], tuple[str, str]]
RESTRICTED = _("Details are restricted.")


class RunAdmin(KeysetAdmin):
    """Runs with their timings, log, error and sizes."""

    list_display = (
        "serial", "shown_as_of", "shown_status", "requested_by", "requested_at", "took",
        "shown_customers",
    )  # fmt: skip
    list_display_links = ("serial", "shown_as_of")
    list_filter = ("status", "as_of")
    change_form_outer_after_template = "admin/panels.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("shown_as_of", "shown_status"),
                    ("requested_by", "requested_at"),
                    ("started_at", "finished_at"),
                    ("took", "shown_customers"),
                    ("shown_error",),
                )
            },
        ),
        (
            _("Computed from"),
            {
                "fields": (
                    ("watermark", "shown_base_run"),
                    ("shown_definition_set", "engine"),
                    ("tzdata_version", "attempts"),
                    ("recorded_hash",),
                    ("parity_checked", "shown_disagreements"),
                )
            },
        ),
    )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run = self.get_object(request, object_id or "")
        panels = run_panels(run, user=request.user, tiers=self.tier_names()) if run else ()
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    @admin.display(description=_("oracle disagreements"))
    def shown_disagreements(self, run: Run) -> str:
        # Only how many: a disagreement may name a hidden segment.
        return shown.count(len(run.parity_mismatches))

    def tier_names(self) -> TierNames:
        """Names by program key and tier key; the app above knows them."""
        return {}

    def heading(self, row: Any) -> str:
        return f"{row.pk} · {shown.instant(row.as_of)}"

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        run = super().get_object(request, object_id, from_field)
        if run is not None:
            words = hidden_words(request.user)
            run.shown_error = RESTRICTED if mentions_hidden(run.error, words=words) else run.error
        return run

    @admin.display(description=_("as of"), ordering="as_of")
    def shown_as_of(self, run: Run) -> str:
        return shown.instant(run.as_of)

    @admin.display(description=_("status"))
    def shown_status(self, run: Run) -> SafeString:
        return shown.run_status(run)

    @admin.display(description=_("took"))
    def took(self, run: Run) -> str:
        return shown.seconds(run.seconds)

    @admin.display(description=_("number of customers"))
    def shown_customers(self, run: Run) -> str:
        return shown.count(run.customers)

    @admin.display(description=_("error"))
    def shown_error(self, run: Any) -> Any:
        return run.shown_error or EMPTY

    @admin.display(description=_("starts from run"))
    def shown_base_run(self, run: Run) -> SafeString | str:
        if run.base_run_id is None:
            return EMPTY
        return shown.link("segmentation_run_change", args=[run.base_run_id], text=run.base_run_id)

    @admin.display(description=_("definition set"))
    def shown_definition_set(self, run: Run) -> str:
        return str(run.definition_set) if run.definition_set_id else EMPTY


def run_panels(run: Run, *, user: Any, tiers: TierNames) -> tuple[shown.Table, ...]:
    """Stages, sizes and log of one run, without anything about segments hidden from the user."""
    counts = run.counts.order_by("kind", "key", "pk")
    by_kind = {kind: list(rows) for kind, rows in groupby(counts, key=lambda row: row.kind)}
    return (
        *_segment_sizes(run, user=user),
        *_sizes(_("Tags"), by_kind.get(RunCount.Kind.TAG, []), _labels(TagGroup), {}),
        *_sizes(_("Layers"), by_kind.get(RunCount.Kind.LAYER, []), _labels(Layering), {}),
        *_sizes(_("Tiers"), by_kind.get(RunCount.Kind.TIER, []), {}, tiers),
        _stages(run),
        _log(run, user=user),
    )


def _stages(run: Run) -> shown.Table:
    rows = [(STAGES.get(stage, stage), f"{value:.2f}") for stage, value in run.seconds.items()]
    return shown.Table(
        _("Time per stage"),
        (_("stage"), _("seconds")),
        rows,
        empty=_("Nothing was timed yet."),
        numeric=frozenset({1}),
    )


def _segment_sizes(run: Run, *, user: Any) -> tuple[shown.Table, ...]:
    if not user.has_perm("segmentation.view_segmentresult"):
        return ()
    results = (
        visible_results(user)
        .filter(run=run)
        .select_related("segment")
        .defer("members", "entered", "left", "segment__document")
        .order_by("segment__key")
    )
    rows = [
        (
            shown.link(
                "segmentation_segment_change", args=[row.segment_id], text=shown.label(row.segment)
            ),
            visibility_badge(is_hidden=row.segment.is_hidden),
            shown.count(row.size),
            shown.change(row.entered_count),
            shown.change(-row.left_count),
        )
        for row in results
    ]
    headers = (_("segment"), _("visibility"), _("members"), _("entered"), _("left"))
    return (
        shown.Table(
            _("Segments"),
            headers,
            rows,
            empty=_("This run published no segment."),
            numeric=frozenset({2, 3, 4}),
        ),
    )


def _labels(model: Any) -> dict[str, str]:
    return {row.key: shown.label(row) for row in model.objects.defer("document")}


def _sizes(
    title: Any, counts: list[RunCount], labels: Mapping[str, str], pairs: TierNames
) -> tuple[shown.Table, ...]:
    """Sizes by key and value: the key by its label, or both by their pair of names."""
    if not counts:
        return ()
    rows = [
        (
            *pairs.get((row.key, row.value), (labels.get(row.key, row.key), row.value)),
            shown.count(row.size),
        )
        for row in counts
    ]
    headers = (_("name"), _("value"), _("number of customers"))
    return (shown.Table(title, headers, rows, numeric=frozenset({2})),)


def _log(run: Run, *, user: Any) -> shown.Table:
    words = hidden_words(user)
    rows = []
    for entry in run.log:
        message = str(entry.get("message", ""))
        rows.append(
            (
                str(entry.get("at", ""))[:19].replace("T", " "),
                RESTRICTED if mentions_hidden(message, words=words) else message,
            )
        )
    return shown.Table(
        _("Log"), (_("time (UTC)"), _("message")), rows, empty=_("The log is empty.")
    )


class VisibleSegmentFilter(admin.SimpleListFilter):
    """Filters by segment; offers only the ones this user may know of."""

    title = _("segment")
    parameter_name = "segment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        segments = visible_segments(request.user).filter(retired_at=None).defer("document")
        return [(str(row.pk), shown.label(row)) for row in segments]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        if not value or not value.isdecimal():
            return queryset
        return queryset.filter(segment_id__in=visible_segments(request.user).filter(pk=value))


@admin.register(SegmentResult)
class SegmentResultAdmin(KeysetAdmin):
    list_display = (
        "serial", "shown_segment", "shown_as_of", "shown_size", "shown_entered", "shown_left",
    )  # fmt: skip
    list_filter = (VisibleSegmentFilter,)
    fields = ("shown_segment", "shown_run", "shown_size", "shown_entered", "shown_left")

    def get_queryset(self, request: HttpRequest) -> QuerySet[SegmentResult]:
        return (
            visible_results(request.user)
            .select_related("segment", "run")
            .defer("members", "entered", "left", "segment__document", "run__log")
        )

    @admin.display(description=_("segment"))
    def shown_segment(self, row: SegmentResult) -> str:
        return shown.label(row.segment)

    @admin.display(description=_("as of"))
    def shown_as_of(self, row: SegmentResult) -> str:
        return shown.instant(row.run.as_of)

    @admin.display(description=_("run"))
    def shown_run(self, row: SegmentResult) -> SafeString:
        text = f"{row.run_id} · {shown.instant(row.run.as_of)}"
        return shown.link("segmentation_run_change", args=[row.run_id], text=text)

    @admin.display(description=_("members"))
    def shown_size(self, row: SegmentResult) -> str:
        return shown.count(row.size)

    @admin.display(description=_("entered"))
    def shown_entered(self, row: SegmentResult) -> str:
        return shown.change(row.entered_count)

    @admin.display(description=_("left"))
    def shown_left(self, row: SegmentResult) -> str:
        return shown.change(-row.left_count)


@admin.register(RunCount)
class RunCountAdmin(KeysetAdmin):
    list_display = ("serial", "shown_as_of", "kind", "key", "value", "shown_size")
    list_filter = ("kind",)
    list_select_related = ("run",)
    fields = ("shown_as_of", "kind", "key", "value", "shown_size")

    @admin.display(description=_("as of"))
    def shown_as_of(self, row: RunCount) -> str:
        return shown.instant(row.run.as_of)

    @admin.display(description=_("number of customers"))
    def shown_size(self, row: RunCount) -> str:
        return shown.count(row.size)
