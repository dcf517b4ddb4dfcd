"""Segments: the list and the page of one. Without the right, hidden ones do not exist."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.models import Run, Segment
from segmentation.permissions import REQUEST_RUN, sight, visible_segments
from segmentation.services.segment_sizes import SeenSize, seen_sizes
from segmentation.services.trends import trend

from . import shown, wording
from .base import EMPTY
from .charts import size_charts
from .definition_filters import (
    AttentionFilter,
    FolderFilter,
    OwnerFilter,
    RetiredFilter,
    VisibilityFilter,
)
from .definition_pages import DefinitionPageAdmin, current_run
from .definitions import visibility_badge
from .exports import export_url
from .portrait_links import portrait_url
from .rule_words import in_both_languages, names, rule_sentence, rule_tree, tree_html
from .segment_members import SegmentMemberViews
from .segment_overlap import overlap_url, overlap_urls


@admin.register(Segment)
class SegmentAdmin(SegmentMemberViews, DefinitionPageAdmin):
    kind = "segment"
    page_template = "admin/definitions/segment.html"
    list_display = (
        "star", "name", "key", "visibility", "purpose", "size", "difference", "moved", "folder",
        "owner", "changed",
    )  # fmt: skip
    list_filter = (AttentionFilter, VisibilityFilter, FolderFilter, OwnerFilter, RetiredFilter)
    nothing_yet = _(
        "A segment is a rule that selects customers, such as those who have not bought for 45 "
        "days. Make one from nothing, from a template or from a definitions document."
    )

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        return visible_segments(request.user)

    def complete(self, rows: list[Any], *, request: HttpRequest) -> None:
        run = current_run(request)
        sizes: dict[int, SeenSize] = {}
        if run is not None and rows:
            keys = [row.pk for row in rows]
            sizes = seen_sizes(run, segments=keys, sight=sight(request.user))
        for row in rows:
            row.seen = sizes.get(row.pk)

    def get_urls(self) -> list[URLPattern]:
        return [*overlap_urls(), *self.member_urls(), *super().get_urls()]

    def badges(self, row: Any) -> Iterable[SafeString]:
        yield visibility_badge(is_hidden=row.is_hidden)
        yield from super().badges(row)

    def facts(
        self, row: Any, *, request: HttpRequest, run: Run | None
    ) -> Iterable[tuple[Any, Any]]:
        sizes = {} if run is None else seen_sizes(run, segments=[row.pk], sight=sight(request.user))
        found = sizes.get(row.pk)
        yield _("Number of members"), shown.count(found.size if found else None)
        yield _("Entered"), shown.change(found.entered) if found else EMPTY
        yield _("Left"), shown.change(-found.left) if found else EMPTY
        yield _("As of"), shown.instant(run.as_of if run and found else None)
        yield _("Purpose"), wording.PURPOSES.get(row.document.get("purpose", ""), EMPTY)

    def context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        run = current_run(request)
        known = names()
        rule = row.document.get("rule")
        zone = ZoneInfo(timezone.get_current_timezone_name())
        as_of = run.as_of if run else None
        points = trend("segment", row.key, viewer=request.user)
        return {
            **self.definition_context(row, request=request),
            "sentences": in_both_languages(lambda: rule_sentence(rule, known=known)),
            "tree": tree_html(rule_tree(rule, known=known, as_of=as_of, zone=zone)),
            "charts": size_charts(
                points,
                title=_("Members over time"),
                may_see_runs=request.user.has_perm("segmentation.view_run"),
            ),
            "not_computed": not any(run and point.run_id == run.pk for point in points),
            "portrait_url": portrait_url(f"segment:{row.key}", user=request.user),
            "overlap_url": overlap_url(row.key),
            "export_url": export_url("segment", user=request.user, parameters={"key": row.key}),
            "recompute_url": reverse("admin:segmentation_run_recompute")
            if request.user.has_perm(REQUEST_RUN)
            else "",
        }

    @admin.display(description=_("visibility"))
    def visibility(self, row: Segment) -> SafeString:
        return visibility_badge(is_hidden=row.is_hidden)

    @admin.display(description=_("purpose"))
    def purpose(self, row: Segment) -> Any:
        return wording.PURPOSES.get(row.document.get("purpose", ""), EMPTY)

    @admin.display(description=_("members"))
    def size(self, row: Any) -> str:
        return shown.count(row.seen.size if row.seen else None)

    @admin.display(description=_("difference"))
    def difference(self, row: Any) -> str:
        return shown.change(row.seen.entered - row.seen.left) if row.seen else EMPTY

    @admin.display(description=_("entered / left"))
    def moved(self, row: Any) -> str:
        if row.seen is None:
            return EMPTY
        return f"{shown.change(row.seen.entered)} / {shown.change(-row.seen.left)}"
