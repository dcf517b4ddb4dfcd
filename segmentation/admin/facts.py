"""Pages of customers and facts. All read-only: facts come in by import and API."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.domain.masking import mask_email, mask_id, mask_phone
from segmentation.models import (
    Customer,
    CustomerTag,
    Event,
    FactBatch,
    FactVersion,
    Order,
    OrderLine,
    Referral,
    Refund,
)

from . import shown
from .base import EMPTY, ExactSearchAdmin, KeysetAdmin
from .customer_panels import customer_panels
from .documents import as_yaml

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
    """The row id of the customer with exactly this external id."""
    return Subquery(Customer.objects.filter(external_id=term).values("pk")[:1])


class FactAdmin(ExactSearchAdmin):
    """A list of facts, the newest recorded first."""

    search_fields = ("external_id",)
    search_help_text = _("Its ID, or a customer's whole ID")
    list_select_related: ClassVar[Any] = ("customer",)

    def heading(self, row: Any) -> str:
        return str(getattr(row, "external_id", row.pk))

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


def customer_link(customer: Customer) -> SafeString:
    return shown.link("segmentation_customer_change", args=[customer.pk], text=customer.external_id)


@admin.register(Customer)
class CustomerAdmin(ExactSearchAdmin):
    """Customers by external id. Phone, e-mail and platform ids are masked."""

    keyset = "external_id"
    list_display = ("external_id", "name", "shown_phone", "city", "channel", "shown_registered")
    search_fields = ("external_id",)
    search_help_text = _("The beginning of a customer's ID")
    change_form_outer_after_template = "admin/panels.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("external_id", "name"),
                    ("shown_phone", "shown_email"),
                    ("gender", "birth_date"),
                    ("city", "region"),
                    ("channel", "home_store"),
                    ("shown_registered", "is_staff"),
                    ("consent_marketing", "consent_at"),
                    ("shown_unionid", "shown_external_userid"),
                    ("shown_stub", "shown_batch"),
                )
            },
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        return super().get_queryset(request).select_related("batch")

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(external_id__startswith=term)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        customer = self.get_object(request, object_id or "")
        panels = customer_panels(customer, user=request.user) if customer else ()
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    @admin.display(description=_("phone"))
    def shown_phone(self, customer: Customer) -> str:
        return mask_phone(customer.phone) if customer.phone else EMPTY

    @admin.display(description=_("e-mail"))
    def shown_email(self, customer: Customer) -> str:
        return mask_email(customer.email) if customer.email else EMPTY

    @admin.display(description=_("WeChat union ID"))
    def shown_unionid(self, customer: Customer) -> str:
        return mask_id(customer.unionid) if customer.unionid else EMPTY

    @admin.display(description=_("WeCom user ID"))
    def shown_external_userid(self, customer: Customer) -> str:
        return mask_id(customer.external_userid) if customer.external_userid else EMPTY

    @admin.display(description=_("registered at"))
    def shown_registered(self, customer: Customer) -> str:
        return shown.instant(customer.registered_at)

    @admin.display(description=_("known by ID only"))
    def shown_stub(self, customer: Customer) -> SafeString:
        if customer.is_stub:
            return shown.badge(_("yes"), colour="warning")
        return shown.badge(_("no"), colour="default")

    @admin.display(description=_("last import"))
    def shown_batch(self, customer: Customer) -> SafeString:
        return shown.link(
            "segmentation_factbatch_change",
            args=[customer.batch_id],
            text=f"{customer.batch_id} · {shown.instant(customer.batch.recorded_at)}",
        )


@admin.register(Order)
class OrderAdmin(FactAdmin):
    list_display = (
        "external_id", "shown_customer", "placed_at", "shown_amount", "status", "channel",
        "is_promotion",
    )  # fmt: skip
    search_help_text = _("An order's whole ID, or a customer's")
    change_form_outer_after_template = "admin/panels.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("external_id", "shown_customer"),
                    ("status", "channel"),
                    ("placed_at", "paid_at", "completed_at"),
                    ("shown_amount", "sent_in"),
                    ("shown_discount", "shown_goods", "shown_shipping"),
                    ("shown_stored_value", "shown_points"),
                    ("is_promotion", "store_id", "staff_id"),
                    ("payer_ref", "recipient_ref"),
                    ("shown_batch",),
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
        order = self.get_object(request, object_id or "")
        panels = order_panels(order) if order else ()
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    def _part(self, row: Any, amount: Any) -> str:
        return shown.money(amount, code=shown.currency())

    @admin.display(description=_("discount"))
    def shown_discount(self, row: Order) -> str:
        return self._part(row, row.discount)

    @admin.display(description=_("goods amount"))
    def shown_goods(self, row: Order) -> str:
        return self._part(row, row.goods_amount)

    @admin.display(description=_("shipping amount"))
    def shown_shipping(self, row: Order) -> str:
        return self._part(row, row.shipping_amount)

    @admin.display(description=_("paid with stored value"))
    def shown_stored_value(self, row: Order) -> str:
        return self._part(row, row.stored_value_amount)

    @admin.display(description=_("paid with points"))
    def shown_points(self, row: Order) -> str:
        return self._part(row, row.points_amount)

    @admin.display(description=_("sent in"))
    def sent_in(self, row: Order) -> str:
        return f"{row.currency} × {row.rate.normalize():f}" if row.rate else row.currency


def order_panels(order: Order) -> tuple[shown.Table, ...]:
    """Lines and refunds of one order; two queries."""
    code = shown.currency()
    lines = [
        (
            line.line_no, line.sku, line.category or EMPTY,
            f"{line.quantity.normalize():f}" if line.quantity is not None else EMPTY,
            shown.money(line.discount, code=code), shown.money(line.amount, code=code),
        )
        for line in order.lines.order_by("line_no")[:200]
    ]  # fmt: skip
    refunds = [
        (
            refund.external_id, EMPTY if refund.line_no is None else refund.line_no,
            shown.instant(refund.refunded_at), shown.money(refund.amount, code=code),
        )
        for refund in order.refunds.order_by("refunded_at", "pk")[:200]
    ]  # fmt: skip
    amount = format_html("{} ({})", _("amount"), code)
    return (
        shown.Table(
            _("Order lines"),
            (_("line number"), _("article (SKU)"), _("category"), _("quantity"), _("discount"),
             amount),
            lines,
            empty=_("This order came without lines."),
            numeric=frozenset({3, 4, 5}),
        ),
        shown.Table(
            _("Refunds"),
            (_("ID"), _("line number"), _("refunded at"), amount),
            refunds,
            empty=_("Nothing was refunded."),
            numeric=frozenset({3}),
        ),
    )  # fmt: skip


@admin.register(OrderLine)
class OrderLineAdmin(FactAdmin):
    list_display = (
        "shown_order", "line_no", "sku", "category", "quantity", "shown_amount", "is_durable",
        "qualifies",
    )  # fmt: skip
    list_display_links = ("line_no",)
    list_select_related = ("order",)
    search_fields = ("order",)
    search_help_text = _("An order's whole ID")
    fields = (
        "shown_order", "line_no", "sku", "category", "quantity", "shown_amount", "is_durable",
        "qualifies", "shown_batch",
    )  # fmt: skip

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        order = Order.objects.filter(external_id=term).values("pk")[:1]
        return rows.filter(order_id=Subquery(order))

    @admin.display(description=_("order"))
    def shown_order(self, row: OrderLine) -> SafeString:
        return shown.link(
            "segmentation_order_change", args=[row.order_id], text=row.order.external_id
        )


@admin.register(Refund)
class RefundAdmin(FactAdmin):
    list_display = ("external_id", "shown_order", "line_no", "refunded_at", "shown_amount")
    list_select_related = ("order",)
    search_help_text = _("A refund's whole ID, or an order's")
    fields = (*list_display, "shown_batch")

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        order = Order.objects.filter(external_id=term).values("pk")[:1]
        return rows.filter(Q(external_id=term) | Q(order_id=Subquery(order)))

    @admin.display(description=_("order"))
    def shown_order(self, row: Refund) -> SafeString:
        return shown.link(
            "segmentation_order_change", args=[row.order_id], text=row.order.external_id
        )


@admin.register(Event)
class EventAdmin(FactAdmin):
    list_display = ("external_id", "shown_customer", "name", "occurred_at")
    search_help_text = _("An event's whole ID, or a customer's")
    fields = (*list_display, "shown_properties", "shown_batch")

    @admin.display(description=_("properties"))
    def shown_properties(self, row: Event) -> SafeString | str:
        return shown.code_block(as_yaml(row.properties)) if row.properties else EMPTY


@admin.register(Referral)
class ReferralAdmin(FactAdmin):
    list_display = ("external_id", "shown_referrer", "shown_referee", "occurred_at")
    list_select_related = ("referrer", "referee")
    search_help_text = _("A referral's whole ID, or one of the two customers'")
    fields = (*list_display, "shown_batch")

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        customer = customer_id_of(term)
        return rows.filter(Q(external_id=term) | Q(referrer_id=customer) | Q(referee_id=customer))

    @admin.display(description=_("referrer"))
    def shown_referrer(self, row: Referral) -> SafeString:
        return customer_link(row.referrer)

    @admin.display(description=_("referred customer"))
    def shown_referee(self, row: Referral) -> SafeString:
        return customer_link(row.referee)


@admin.register(CustomerTag)
class CustomerTagAdmin(FactAdmin):
    list_display = ("shown_customer", "group", "value", "expires_at", "is_removed")
    list_display_links = ("value",)
    search_fields = ("customer",)
    search_help_text = _("A customer's whole ID")
    fields = (*list_display, "shown_batch")

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(customer_id=customer_id_of(term))


@admin.register(FactBatch)
class FactBatchAdmin(KeysetAdmin):
    list_display = (
        "serial", "shown_kind", "source", "file_name", "actor", "recorded_at", "shown_read",
        "shown_inserted", "shown_updated", "shown_unchanged", "shown_rejected",
    )  # fmt: skip
    list_filter = ("source", "recorded_at")
    fieldsets = (
        (None, {"fields": (("shown_kind", "source"), ("file_name", "actor"), ("recorded_at",))}),
        (
            _("Rows"),
            {
                "fields": (
                    ("shown_read", "shown_inserted", "shown_updated"),
                    ("shown_unchanged", "shown_rejected"),
                    ("generation",),
                )
            },
        ),
    )

    @admin.display(description=_("kind"))
    def shown_kind(self, batch: FactBatch) -> str:
        return str(KIND_WORDS.get(batch.kind, batch.kind))

    @admin.display(description=_("rows read"))
    def shown_read(self, batch: FactBatch) -> str:
        return shown.count(batch.read)

    @admin.display(description=_("new rows"))
    def shown_inserted(self, batch: FactBatch) -> str:
        return shown.count(batch.inserted)

    @admin.display(description=_("updated rows"))
    def shown_updated(self, batch: FactBatch) -> str:
        return shown.count(batch.updated)

    @admin.display(description=_("unchanged rows"))
    def shown_unchanged(self, batch: FactBatch) -> str:
        return shown.count(batch.unchanged)

    @admin.display(description=_("rejected rows"))
    def shown_rejected(self, batch: FactBatch) -> SafeString | str:
        if not batch.rejected:
            return "0"
        return shown.badge(shown.count(batch.rejected), colour="warning")


@admin.register(FactVersion)
class FactVersionAdmin(KeysetAdmin):
    """What a later import replaced; contact data in it is masked like the customer's."""

    list_display = ("serial", "shown_kind", "row_id", "batch_id", "superseded_by_id")
    fields = ("shown_kind", "row_id", "batch_id", "superseded_by_id", "shown_row")

    @admin.display(description=_("kind"))
    def shown_kind(self, version: FactVersion) -> str:
        return str(KIND_WORDS.get(version.kind, version.kind))

    @admin.display(description=_("replaced content"))
    def shown_row(self, version: FactVersion) -> SafeString:
        masks = {
            "phone": mask_phone,
            "email": mask_email,
            "unionid": mask_id,
            "external_userid": mask_id,
        }
        row = version.row
        cells = (
            (name, masks[name](str(value)) if value and name in masks else value)
            for name, value in sorted(row.items())
            if value is not None
        )
        lines = format_html_join("\n", "{}: {}", cells)
        return format_html('<pre class="tw-code">{}</pre>', lines)
