"""Pages of memberships and transitions, and their part of a customer's page. Read-only."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.models import Membership, Program, Transition
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, ExactSearchAdmin
from segmentation.admin.customer_panels import add_customer_panels
from segmentation.admin.facts import customer_id_of, customer_link
from segmentation.admin.history import HistoryAdmin
from segmentation.models import Customer, Metric

from . import wording

_LATEST = 20


class ProgramFilter(admin.SimpleListFilter):
    """Filters by program, with its name in the language of the request."""

    title = _("program")
    parameter_name = "program"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(str(row.pk), shown.label(row)) for row in Program.objects.defer("document")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return queryset.filter(program_id=value) if value and value.isdecimal() else queryset


class MembershipPage(ExactSearchAdmin):
    """What memberships and transitions share."""

    search_fields = ("customer",)
    search_help_text = _("A customer's whole ID")

    def heading(self, row: Any) -> str:
        return f"{row.customer.external_id} · {shown.label(row.program)}"

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(customer_id=customer_id_of(term))

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
    list_display = (
        "serial", "shown_customer", "shown_program", "shown_tier", "shown_since", "shown_until",
        "shown_grace",
    )  # fmt: skip
    list_filter = (ProgramFilter, "until")
    fields = (
        ("shown_customer", "shown_program"),
        ("shown_tier", "rank"),
        ("shown_since", "shown_until", "shown_grace"),
        "shown_run",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request).select_related("program", "customer")
        rows = rows.defer("program__document").annotate(tier_name=wording.tier_label("tier"))
        return rows

    @admin.display(description=_("tier"))
    def shown_tier(self, row: Any) -> str:
        return str(row.tier_name or row.tier)

    @admin.display(description=_("until"))
    def shown_until(self, row: Any) -> Any:
        return _("for good") if row.until is None else shown.instant(row.until)


@admin.register(Transition)
class TransitionAdmin(MembershipPage):
    list_display = (
        "serial", "shown_at", "shown_customer", "shown_program", "shown_kind", "moved",
        "shown_reasons",
    )  # fmt: skip
    list_filter = (ProgramFilter, "kind", "at")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("shown_customer", "shown_program"),
                    ("shown_kind", "moved"),
                    ("shown_at", "shown_run", "shown_version"),
                    ("shown_since", "shown_until", "shown_grace"),
                )
            },
        ),
        (_("Why"), {"fields": ("shown_reasons", "shown_values")}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        rows = rows.select_related("program", "customer", "version")
        rows = rows.defer("program__document", "version__document").annotate(
            from_name=wording.tier_label("from_tier"), to_name=wording.tier_label("to_tier")
        )
        return rows

    @admin.display(description=_("as of"))
    def shown_at(self, row: Transition) -> str:
        return shown.instant(row.at)

    @admin.display(description=_("decision"))
    def shown_kind(self, row: Transition) -> SafeString:
        return wording.kind_badge(row)

    @admin.display(description=_("from → to"))
    def moved(self, row: Any) -> str:
        return moved_words(row)

    @admin.display(description=_("version"))
    def shown_version(self, row: Transition) -> str:
        return str(row.version.number)

    @admin.display(description=_("reasons"))
    def shown_reasons(self, row: Transition) -> str:
        return wording.reason_words(row.reasons) or EMPTY

    @admin.display(description=_("values that decided"))
    def shown_values(self, row: Transition) -> str:
        words = shown.once(
            row,
            "_values_words",
            lambda: wording.values_words(row.values, labels=metric_labels()),
        )
        return words or EMPTY


def moved_words(row: Any) -> str:
    """The tier before and after one decision, by their names."""
    before = row.from_name or row.from_tier or EMPTY
    after = row.to_name or row.to_tier or EMPTY
    return before if before == after else f"{before} → {after}"


def metric_labels() -> dict[str, str]:
    return {row.key: shown.label(row) for row in Metric.objects.defer("document")}


@add_customer_panels
def membership_panels(customer: Customer, *, user: Any) -> tuple[shown.Table, ...]:
    """A customer's memberships and latest transitions, as far as the user may see them."""
    tables = []
    if user.has_perm("membership.view_membership"):
        tables.append(_memberships(customer))
    if user.has_perm("membership.view_transition"):
        tables.append(_transitions(customer))
    return tuple(tables)


def _memberships(customer: Customer) -> shown.Table:
    held = (
        Membership.objects.filter(customer=customer)
        .select_related("program")
        .defer("program__document")
        .annotate(tier_name=wording.tier_label("tier"))
        .order_by("program__key")
    )
    rows = [
        (
            shown.label(row.program),
            row.tier_name or row.tier,
            shown.instant(row.since),
            _("for good") if row.until is None else shown.instant(row.until),
            shown.instant(row.grace_until),
        )
        for row in held
    ]
    headers = (_("program"), _("tier"), _("since"), _("until"), _("grace until"))
    return shown.Table(
        _("Memberships"), headers, rows, empty=_("This customer holds no tier in any program.")
    )


def _transitions(customer: Customer) -> shown.Table:
    labels = metric_labels()
    latest = (
        Transition.objects.filter(customer=customer)
        .select_related("program")
        .defer("program__document")
        .annotate(from_name=wording.tier_label("from_tier"), to_name=wording.tier_label("to_tier"))
        .order_by("-pk")[:_LATEST]
    )
    rows = [
        (
            shown.instant(row.at),
            shown.label(row.program),
            wording.kind_badge(row),
            moved_words(row),
            wording.reason_words(row.reasons),
            wording.values_words(row.values, labels=labels),
        )
        for row in latest
    ]
    headers = (
        _("as of"), _("program"), _("decision"), _("from → to"), _("reasons"),
        _("values that decided"),
    )  # fmt: skip
    return shown.Table(
        _("Transitions"), headers, rows, empty=_("No run has moved this customer yet.")
    )


class MembershipHistoryAdmin(HistoryAdmin):
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).select_related("pgh_context", "program", "customer")
        return rows.defer("program__document")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            ("shown_at", "act"),
            ("who", "why"),
            "what",
            "rank",
            ("since", "until", "grace_until"),
        ]

    @admin.display(description=_("what"))
    def what(self, event: Any) -> str:
        return f"{event.customer} · {shown.label(event.program)}: {event.tier}"


admin.site.register(apps.get_model("membership", "MembershipEvent"), MembershipHistoryAdmin)
admin.site.register(apps.get_model("membership", "ProgramEvent"), HistoryAdmin)
