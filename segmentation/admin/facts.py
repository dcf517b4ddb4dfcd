"""What pages of facts share, and the pages of events, referrals and customers' tags.

All read-only: facts come in by import and API. Rows of customers whom a person may not know are in
no list, no search and on no page.
"""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import BooleanField, ExpressionWrapper, Q, QuerySet, Subquery, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.models import Customer, CustomerTag, Event, Referral
from segmentation.permissions import of_visible_customers, row_scope

from . import shown
from .base import EMPTY, ExactSearchAdmin
from .documents import as_yaml
from .timed import TimedAdmin

OTHER_STORE = _("a customer of another store")
KIND_WORDS = {
    "customers": _("Customers"),
    "orders": _("Orders"),
    "order_lines": _("Order lines"),
    "refunds": _("Refunds"),
    "events": _("Events"),
    "referrals": _("Referrals"),
    "tags": _("Customer tags"),
}


def customer_id_of(term: str) -> Subquery:
    """The row id of the customer with exactly this external id, or into whom it was merged."""
    named = Customer.objects.filter(external_id=term)
    return Subquery(named.values_list(Coalesce("merged_into_id", "pk"))[:1])


class FactAdmin(ExactSearchAdmin):
    """A list of facts, the newest recorded first; `customer_path` leads to whose they are."""

    customer_path = "customer"
    search_fields = ("external_id",)
    search_help_text = _("Its ID, or a customer's whole ID")
    list_select_related: ClassVar[Any] = ("customer",)

    def heading(self, row: Any) -> str:
        return str(getattr(row, "external_id", row.pk))

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        return of_visible_customers(rows, user=request.user, customer=self.customer_path)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return for_reader(super().get_fieldsets(request, obj), request=request)

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(Q(external_id=term) | Q(customer_id=customer_id_of(term)))

    @admin.display(description=_("customer"))
    def shown_customer(self, row: Any) -> SafeString:
        return customer_link(row.customer)

    @admin.display(description=_("amount"))
    def shown_amount(self, row: Any) -> str:
        code = shown.currency()
        return f"{shown.money(row.amount, code=code)} {code}"

    @admin.display(description=_("import"))
    def shown_batch(self, row: Any) -> SafeString:
        return shown.link("segmentation_factbatch_change", args=[row.batch_id], text=row.batch_id)


class TimedFactAdmin(TimedAdmin, FactAdmin):
    """Facts in the order in which they happened, with a range of days."""


def for_reader(fieldsets: Any, *, request: HttpRequest) -> Any:
    """Fieldsets without the link to the import, for those who may not follow it."""
    if request.user.has_perm("segmentation.view_factbatch"):
        return fieldsets
    return [
        (title, {**options, "fields": _without(options["fields"], "shown_batch")})
        for title, options in fieldsets
    ]


def _without(fields: Any, name: str) -> list[Any]:
    kept = [
        tuple(part for part in field if part != name) if isinstance(field, list | tuple) else field
        for field in fields
    ]
    return [field for field in kept if field and field != name]


def customer_link(customer: Customer) -> SafeString:
    return shown.link("segmentation_customer_change", args=[customer.pk], text=customer.external_id)


@admin.register(Event)
class EventAdmin(TimedFactAdmin):
    time = "occurred_at"
    list_display = ("external_id", "shown_customer", "name", "occurred_at")
    search_help_text = _("An event's whole ID, or a customer's")
    fields = (*list_display, "shown_properties", "shown_batch")

    @admin.display(description=_("properties"))
    def shown_properties(self, row: Event) -> SafeString | str:
        return shown.code_block(as_yaml(row.properties)) if row.properties else EMPTY


@admin.register(Referral)
class ReferralAdmin(TimedFactAdmin):
    """A referral is the referrer's; the other customer is named to those who may know of both."""

    time = "occurred_at"
    customer_path = "referrer"
    list_display = ("external_id", "shown_referrer", "shown_referee", "occurred_at")
    list_select_related = ("referrer", "referee")
    search_help_text = _("A referral's whole ID, or one of the two customers'")
    fields = (*list_display, "shown_batch")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        stores = row_scope(request.user)
        is_known = Q() if stores is None else Q(referee__home_store__in=stores)
        known = ExpressionWrapper(is_known, BooleanField()) if is_known else Value(True)
        rows: QuerySet[Any] = super().get_queryset(request).annotate(referee_is_known=known)
        return rows

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        customer = customer_id_of(term)
        referred = Q(referee_id=customer, referee_is_known=True)
        return rows.filter(Q(external_id=term) | Q(referrer_id=customer) | referred)

    @admin.display(description=_("referrer"))
    def shown_referrer(self, row: Referral) -> SafeString:
        return customer_link(row.referrer)

    @admin.display(description=_("referred customer"))
    def shown_referee(self, row: Any) -> SafeString | Promise:
        return customer_link(row.referee) if row.referee_is_known else OTHER_STORE


@admin.register(CustomerTag)
class CustomerTagAdmin(FactAdmin):
    list_display = ("shown_customer", "group", "value", "expires_at", "is_removed")
    list_display_links = ("value",)
    search_fields = ("customer",)
    search_help_text = _("A customer's whole ID")
    fields = (*list_display, "shown_batch")

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(customer_id=customer_id_of(term))
