"""Pages of orders, their lines and their refunds. Read-only: they come in by import and API."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.models import Order, OrderLine, Refund

from . import shown
from .base import EMPTY
from .exports import ExportButtonMixin
from .facts import FactAdmin, TimedFactAdmin


@admin.register(Order)
class OrderAdmin(ExportButtonMixin, TimedFactAdmin):
    export_source = "orders"
    time = "placed_at"
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
    customer_path = "order__customer"
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
class RefundAdmin(TimedFactAdmin):
    time = "refunded_at"
    customer_path = "order__customer"
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
