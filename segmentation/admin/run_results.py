"""Pages of what runs published: segment results and counts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.domain.row_numbers import row_number
from segmentation.models import Run, RunCount, SegmentResult
from segmentation.permissions import row_scope, visible_results, visible_segments

from . import shown
from .base import KeysetAdmin

# What these found is nobody's result: a person has not decided yet, or decided against it.
UNPUBLISHED = (Run.Status.HELD, Run.Status.FAILED)


class VisibleSegmentFilter(admin.SimpleListFilter):
    """Filters by segment; offers only the ones this user may know of."""

    title = _("segment")
    parameter_name = "segment"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        segments = visible_segments(request.user).filter(retired_at=None).defer("document")
        return [(str(row.pk), shown.label(row)) for row in segments]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        segment = row_number(self.value() or "")
        if segment is None:
            return queryset
        return queryset.filter(segment_id__in=visible_segments(request.user).filter(pk=segment))


@admin.register(SegmentResult)
class SegmentResultAdmin(KeysetAdmin):
    list_display = (
        "serial", "shown_segment", "shown_as_of", "shown_size", "shown_entered", "shown_left",
    )  # fmt: skip
    list_filter = (VisibleSegmentFilter,)
    fields = ("shown_segment", "shown_run", "shown_size", "shown_entered", "shown_left")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Stored sizes count the customers of all stores."""
        allowed = super().has_view_permission(request, obj)
        return allowed and row_scope(request.user) is None

    def get_queryset(self, request: HttpRequest) -> QuerySet[SegmentResult]:
        return (
            visible_results(request.user)
            .exclude(run__status__in=UNPUBLISHED)
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

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Stored sizes count the customers of all stores."""
        allowed = super().has_view_permission(request, obj)
        return allowed and row_scope(request.user) is None

    def heading(self, row: Any) -> str:
        return f"{row.get_kind_display()} · {row.key} = {row.value}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[RunCount]:
        return super().get_queryset(request).exclude(run__status__in=UNPUBLISHED)

    @admin.display(description=_("as of"))
    def shown_as_of(self, row: RunCount) -> str:
        return shown.instant(row.run.as_of)

    @admin.display(description=_("number of customers"))
    def shown_size(self, row: RunCount) -> str:
        return shown.count(row.size)
