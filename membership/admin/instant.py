"""Pages of the instant path: what it changed between runs, and whom it has yet to look at."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.models import InstantBatch, Transition
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, KeysetAdmin
from segmentation.admin.facts import FactAdmin, customer_id_of, customer_link
from segmentation.models import CustomerMark
from segmentation.permissions import row_scope

from . import wording
from .memberships import moved_words

_SHOWN = 100


@admin.register(InstantBatch)
class InstantBatchAdmin(KeysetAdmin):
    """Batches that changed a tier, newest first; the page of one names the customers."""

    list_display = ("serial", "shown_as_of", "shown_customers", "shown_changes", "shown_seconds")
    fields = (*list_display[1:], "shown_run")
    list_select_related: ClassVar[Any] = ()
    change_form_outer_after_template = "admin/panels.html"
    nothing_yet = _("No order or event that came through the API has changed a tier yet.")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A batch counts the customers of all stores."""
        return super().has_view_permission(request, obj) and row_scope(request.user) is None

    def heading(self, row: InstantBatch) -> str:
        return f"{row._meta.verbose_name} {row.pk}"

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        panels = [_changes(row)] if row is not None else []
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    @admin.display(description=_("as of"))
    def shown_as_of(self, row: InstantBatch) -> str:
        return shown.instant(row.as_of)

    @admin.display(description=_("customers looked at"))
    def shown_customers(self, row: InstantBatch) -> str:
        return shown.count(row.customers)

    @admin.display(description=_("tier changes"))
    def shown_changes(self, row: InstantBatch) -> str:
        return shown.count(row.changes)

    @admin.display(description=_("seconds"))
    def shown_seconds(self, row: InstantBatch) -> str:
        return f"{(row.finished_at - row.started_at).total_seconds():.2f}"

    @admin.display(description=_("based on run"))
    def shown_run(self, row: InstantBatch) -> SafeString:
        return shown.link("segmentation_run_change", args=[row.run_id], text=row.run_id)


def _changes(batch: InstantBatch) -> shown.Table:
    found = (
        Transition.objects.filter(instant_batch=batch)
        .select_related("customer", "program")
        .defer("program__document")
        .annotate(from_name=wording.tier_label("from_tier"), to_name=wording.tier_label("to_tier"))
        .order_by("pk")[:_SHOWN]
    )
    rows = [
        (
            customer_link(row.customer),
            shown.label(row.program),
            wording.kind_badge(row),
            shown.link("membership_transition_change", args=[row.pk], text=moved_words(row)),
        )
        for row in found
    ]
    return shown.Table(
        _("Tier changes"),
        (_("customer"), _("program"), _("decision"), _("from → to")),
        rows,
        note=_("The first %(count)s are shown.") % {"count": _SHOWN}
        if batch.changes > _SHOWN
        else "",
        empty=_("The customers of this batch have been erased since."),
    )


@admin.register(CustomerMark)
class CustomerMarkAdmin(FactAdmin):
    """Whose tier is still to be looked at; usually empty, because it takes less than a second."""

    list_display = (
        "shown_customer", "shown_due", "shown_marked", "attempts", "shown_retry", "shown_error",
    )  # fmt: skip
    list_display_links = ("shown_due",)
    search_fields = ("customer",)
    search_help_text = _("A customer's whole ID")
    fields = list_display
    nothing_yet = _("Nobody is waiting: every fact that came in has been looked at.")

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(customer_id=customer_id_of(term))

    @admin.display(description=_("due at"))
    def shown_due(self, row: CustomerMark) -> str:
        return shown.instant(row.due_at)

    @admin.display(description=_("marked at"))
    def shown_marked(self, row: CustomerMark) -> str:
        return shown.instant(row.marked_at)

    @admin.display(description=_("next attempt at"))
    def shown_retry(self, row: CustomerMark) -> str:
        return shown.instant(row.retry_at)

    @admin.display(description=_("error"))
    def shown_error(self, row: CustomerMark) -> str:
        return row.error or EMPTY
