"""The list of merges: which ids are one person, who said so and why, and the undo."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config import clock
from segmentation.admin import shown
from segmentation.admin.base import ExactSearchAdmin
from segmentation.admin.facts import customer_id_of, customer_link
from segmentation.models import CustomerMerge
from segmentation.permissions import MERGE_CUSTOMERS, visible_merges

from .customer_merge import undo_view


class StandingFilter(admin.SimpleListFilter):
    """Merges that stand, and those that were undone."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("merged", _("Merged")), ("undone", _("Undone"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("merged", "undone"):
            return queryset.filter(undone_at__isnull=self.value() == "merged")
        return queryset


@admin.register(CustomerMerge)
class CustomerMergeAdmin(ExactSearchAdmin):
    """Made and undone through the service only."""

    list_display = (
        "serial", "shown_survivor", "shown_merged", "shown_state", "reason", "actor", "merged_at",
        "until",
    )  # fmt: skip
    list_filter = (StandingFilter,)
    search_fields = ("survivor",)
    search_help_text = _("The whole ID that stayed")
    nothing_yet = _("No customers have been merged.")
    fields = (
        ("shown_survivor", "shown_merged"),
        ("shown_state", "actor", "merged_at", "until"),
        "reason",
        ("undone_at", "undone_by"),
        "undo_reason",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[CustomerMerge]:
        return visible_merges(request.user).select_related("survivor", "merged").defer("kept")

    def get_list_display(self, request: HttpRequest) -> Any:
        may_undo = request.user.has_perm(MERGE_CUSTOMERS)
        return (*self.list_display, "undo_link") if may_undo else self.list_display

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(survivor_id=customer_id_of(term))

    def heading(self, row: Any) -> str:
        return f"{row.merged.external_id} → {row.survivor.external_id}"

    def get_urls(self) -> list[URLPattern]:
        undo = path(
            "<int:pk>/undo/",
            self.admin_site.admin_view(self.undo),
            name="segmentation_customermerge_undo",
        )
        return [undo, *super().get_urls()]

    def undo(self, request: HttpRequest, pk: int) -> HttpResponse:
        merge = self.get_queryset(request).filter(pk=pk, undone_at=None).first()
        if merge is None:
            raise Http404
        context = {**self.admin_site.each_context(request), "opts": self.opts}
        answer: HttpResponse = undo_view(merge, request=request, context=context)
        return answer

    @admin.display(description=_("stays"))
    def shown_survivor(self, row: CustomerMerge) -> SafeString:
        return customer_link(row.survivor)

    @admin.display(description=_("merged ID"))
    def shown_merged(self, row: CustomerMerge) -> str:
        return row.merged.external_id

    @admin.display(description=_("state"))
    def shown_state(self, row: CustomerMerge) -> SafeString:
        if row.undone_at is not None:
            return shown.badge(gettext("Undone"), colour="default")
        return shown.badge(gettext("Merged"), colour="success")

    @admin.display(description="")
    def undo_link(self, row: CustomerMerge) -> SafeString | str:
        if row.undone_at is not None or clock.real_now() >= row.until:
            return ""
        return shown.link("segmentation_customermerge_undo", args=[row.pk], text=gettext("Undo"))
