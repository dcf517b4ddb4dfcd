"""Pages of memberships: who holds which tier until when, why, and what is missing to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET

from config import clock
from membership.models import Membership, Transition
from membership.services.missing_to_next import missing_to_next
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, ExactSearchAdmin
from segmentation.admin.exports import ExportButtonMixin
from segmentation.admin.facts import customer_link
from segmentation.admin.held_words import held_note
from segmentation.models import Customer, Metric, living
from segmentation.permissions import of_visible_customers
from segmentation.queries.customers import find_customers

from . import wording
from .filters import GraceFilter, ProgramFilter, TierFilter, UntilFilter
from .links import days_ahead
from .quick_choices import QuickChoice, quick_choices

_LATEST = 20
_AHEAD = (30, 60, 90)


class MembershipPage(ExportButtonMixin, ExactSearchAdmin):
    """What memberships and transitions share: rows of customers whom the reader may know of."""

    search_fields = ("customer",)
    search_help_text = _(
        "The beginning of a customer's ID or name, a whole phone number or its last four digits"
    )
    list_filter_submit = True
    list_before_template = "admin/memberships/quick_choices.html"
    extra_parameters: ClassVar[frozenset[str]]

    def heading(self, row: Any) -> str:
        return f"{row.customer.external_id} · {shown.label(row.program)}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return of_visible_customers(rows, user=request.user)

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        found = find_customers(Customer.objects.filter(living()), term=term)
        return rows.filter(customer__in=found.values("pk"))

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup in self.extra_parameters or super().lookup_allowed(lookup, value, request)

    def choices(self, request: HttpRequest) -> Sequence[QuickChoice]:
        """The selections that are asked for every day."""
        return ()

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        choices = self.choices(request)
        return super().changelist_view(request, {**(extra_context or {}), "quick": choices})

    @admin.display(description=_("program"))
    def shown_program(self, row: Any) -> str:
        return shown.label(row.program)

    @admin.display(description=_("customer"))
    def shown_customer(self, row: Any) -> SafeString:
        return customer_link(row.customer)

    @admin.display(description=_("since"))
    def shown_since(self, row: Any) -> str:
        return shown.instant(row.since)

    @admin.display(description=_("until"))
    def shown_until(self, row: Any) -> Any:
        return shown.instant(row.until)

    @admin.display(description=_("grace until"))
    def shown_grace(self, row: Any) -> str:
        return shown.instant(row.grace_until)

    @admin.display(description=_("run"))
    def shown_run(self, row: Any) -> SafeString:
        return shown.link("segmentation_run_change", args=[row.run_id], text=row.run_id)


@admin.register(Membership)
class MembershipAdmin(MembershipPage):
    """Memberships as they are now; the page of one says why and what comes next."""

    time: ClassVar[str] = "until"
    export_source = "memberships"
    extra_parameters = frozenset({"until_from", "until_to"})
    list_display = (
        "serial", "shown_customer", "shown_program", "shown_tier", "shown_since", "shown_until",
        "shown_grace",
    )  # fmt: skip
    list_filter = (ProgramFilter, TierFilter, UntilFilter, GraceFilter)
    nothing_yet = _("Nobody holds a tier yet. Memberships come from runs.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).select_related("program", "customer")
        rows = rows.defer("program__document").annotate(tier_name=wording.tier_label("tier"))
        return rows

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        note = held_note(user=request.user)
        return super().changelist_view(request, {**(extra_context or {}), "held_note": note})

    def choices(self, request: HttpRequest) -> Sequence[QuickChoice]:
        now = clock.now()
        ahead = {days: days_ahead(now, days) for days in _AHEAD}
        ways: list[tuple[Any, dict[str, str]]] = [
            (
                gettext("Term ends within %(days)s days") % {"days": days},
                {"until_from": first.isoformat(), "until_to": last.isoformat()},
            )
            for days, (first, last) in ahead.items()
        ]
        ways.append((gettext("In grace"), {"grace_until__isnull": "False"}))
        return quick_choices(request, ways)

    def get_urls(self) -> list[URLPattern]:
        gap = self.admin_site.admin_view(require_GET(self.gap_view))
        return [
            path("<int:pk>/gap/", gap, name="membership_membership_gap"),
            *super().get_urls(),
        ]

    def _visible(self, request: HttpRequest, pk: str) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        row = self.get_object(request, pk)
        if row is None:
            raise Http404
        return row

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self._visible(request, object_id)
        user = request.user
        may_open = user.has_perm("segmentation.view_customer")
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": self.heading(row),
            "heading": self.heading(row),
            "facts": self._facts(row, may_see_runs=user.has_perm("segmentation.view_run")),
            "transitions": decisions_table(row)
            if user.has_perm("membership.view_transition")
            else None,
            "gap_url": reverse("admin:membership_membership_gap", args=[row.pk]),
            "explain_url": _explain_url(row) if may_open else "",
            "history_url": reverse("admin:membership_membership_history", args=[row.pk]),
        }
        return TemplateResponse(request, "admin/memberships/page.html", context)

    def _facts(self, row: Any, *, may_see_runs: bool) -> list[tuple[Any, Any]]:
        return [
            (_("Customer"), customer_link(row.customer)),
            (_("Program"), shown.label(row.program)),
            (_("Tier"), self.shown_tier(row)),
            (_("Since"), self.shown_since(row)),
            (_("Until"), self.shown_until(row)),
            (_("Grace until"), self.shown_grace(row)),
            (_("Decided by run"), self.shown_run(row) if may_see_runs else row.run_id),
        ]

    def gap_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """What is missing to the next tier, read from the newest run's files: asked for apart."""
        row = self._visible(request, str(pk))
        found = missing_to_next(row)
        labels = metric_labels()
        gaps = found.gaps and [(labels.get(gap.metric, gap.metric), gap) for gap in found.gaps]
        context = {"is_known": found.is_known, "gaps": gaps}
        return TemplateResponse(request, "admin/memberships/gap.html", context)

    @admin.display(description=_("tier"))
    def shown_tier(self, row: Any) -> str:
        return str(row.tier_name or row.tier)

    @admin.display(description=_("until"))
    def shown_until(self, row: Any) -> Any:
        return _("for good") if row.until is None else shown.instant(row.until)


def _explain_url(row: Any) -> str:
    address = reverse("admin:segmentation_customer_explain", args=[row.customer_id])
    return f"{address}?subject=tier:{row.program.key}"


def moved_words(row: Any) -> str:
    """The tier before and after one decision, by their names."""
    before = row.from_name or row.from_tier or EMPTY
    after = row.to_name or row.to_tier or EMPTY
    return before if before == after else f"{before} → {after}"


def metric_labels() -> dict[str, str]:
    return {row.key: shown.label(row) for row in Metric.objects.defer("document")}


def decisions_table(membership: Membership) -> shown.Table:
    """The latest decisions about one membership, each with its reasons and the values it had."""
    latest = (
        Transition.objects.filter(customer=membership.customer_id, program=membership.program_id)
        .annotate(from_name=wording.tier_label("from_tier"), to_name=wording.tier_label("to_tier"))
        .order_by("-pk")[:_LATEST]
    )
    labels = metric_labels()
    rows = [
        (
            shown.link("membership_transition_change", args=[row.pk], text=shown.instant(row.at)),
            wording.kind_badge(row),
            moved_words(row),
            wording.reason_words(row.reasons),
            wording.values_words(row.values, labels=labels),
            shown.instant(row.until),
        )
        for row in latest
    ]
    headers = (
        _("as of"), _("decision"), _("from → to"), _("reasons"), _("values that decided"),
        _("until"),
    )  # fmt: skip
    return shown.Table(
        _("How it came about"), headers, rows, empty=_("No run has moved this customer yet.")
    )
