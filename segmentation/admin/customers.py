"""The list of customers, and the parts of a customer's page that know nothing of memberships.

`membership/admin/customer_page.py` registers the page itself. Phone and e-mail are masked; both
show once to a person with the right who says why, and it is written down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_GET, require_POST

from config import clock
from segmentation.domain.errors import TierwiseError
from segmentation.domain.masking import mask_email, mask_phone
from segmentation.models import Customer
from segmentation.permissions import REVEAL_PERSONAL, visible_customers
from segmentation.queries.customers import find_customers, in_id_order
from segmentation.services.access_log import reveal_personal_data

from . import shown
from .base import EMPTY, ExactSearchAdmin
from .customer_timeline import order_part, timeline_part
from .exports import ExportButtonMixin
from .looking import looker, typed

if TYPE_CHECKING:
    TextFilter = admin.SimpleListFilter
else:
    from unfold.contrib.filters.admin import TextFilter

REASON_LENGTH = 300


class HomeStoreFilter(TextFilter):
    """One home store, by its whole id."""

    title = _("home store")
    parameter_name = "home_store"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        store = typed(self.value())
        return queryset.filter(home_store=store) if store else queryset


class ObjectionFilter(admin.SimpleListFilter):
    """Those who object to personalised decisions: a small table of its own."""

    title = _("objection")
    parameter_name = "objects"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("Objects to personalised decisions"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(objection__isnull=False) if self.value() == "yes" else queryset


class CustomerAdmin(ExportButtonMixin, ExactSearchAdmin):
    """The customers whom the reader may know of, in the order of their ids."""

    export_source = "customers"
    keyset = "external_id"
    list_display = (
        "external_id", "name", "shown_phone", "shown_email", "home_store", "city",
        "shown_registered",
    )  # fmt: skip
    list_filter = (HomeStoreFilter, ObjectionFilter)
    list_filter_submit = True
    search_fields = ("external_id",)
    search_help_text = _(
        "The beginning of an ID or a name, a whole phone number or its last four digits, or a "
        "whole e-mail address"
    )
    nothing_found = _(
        "Search for the beginning of an ID or a name (Row… finds Rowan), for a phone number or its "
        "last four digits, or for a whole e-mail address."
    )
    nothing_yet = _("No customer that you may see. Customers come in by import and API.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        rows = visible_customers(request.user).select_related("batch")
        return rows.order_by(*self.get_ordering(request))

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return in_id_order(find_customers(rows, term=term))

    def get_urls(self) -> list[URLPattern]:
        def part(name: str, view: Any) -> URLPattern:
            address: URLPattern = path(
                f"<int:pk>/{name}/",
                self.admin_site.admin_view(view),
                name=f"segmentation_customer_{name.split('/')[0]}",
            )
            return address

        own = [part(name, view) for name, view in self.parts().items()]
        return [*own, *super().get_urls()]

    def parts(self) -> dict[str, Any]:
        """The parts of a customer's page that are fetched apart: path to view."""
        return {
            "reveal": require_POST(self.reveal_view),
            "timeline": require_GET(self.timeline_view),
            "order/<int:order>": require_GET(self.order_view),
        }

    def visible(self, request: HttpRequest, pk: int | str) -> Customer:
        """The customer, if this person may know of them; else 404, as for one who is not there."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        customer: Customer | None = self.get_object(request, str(pk))
        if customer is None:
            raise Http404
        return customer

    def reveal_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Phone and e-mail in the clear, this once; or why not."""
        customer = self.visible(request, pk)
        if not request.user.has_perm(REVEAL_PERSONAL):
            raise PermissionDenied
        context: dict[str, Any] = {"customer": customer, "is_answer": True}
        try:
            context["revealed"] = reveal_personal_data(
                customer,
                looker=looker(request),
                reason=request.POST.get("reason", "")[:REASON_LENGTH],
                now=clock.real_now(),
            )
        except TierwiseError as error:
            context["refused"] = error.message
        return TemplateResponse(request, "admin/customers/contact.html", contact(customer, context))

    def timeline_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        context = timeline_part(
            self.visible(request, pk),
            user=request.user,
            wanted=request.GET.getlist("kind"),
            after=request.GET.get("after", ""),
        )
        return TemplateResponse(request, "admin/customers/timeline.html", context)

    def order_view(self, request: HttpRequest, pk: int, order: int) -> HttpResponse:
        context = order_part(self.visible(request, pk), user=request.user, order_id=order)
        return TemplateResponse(request, "admin/customers/order.html", context)

    @admin.display(description=_("phone"))
    def shown_phone(self, customer: Customer) -> str:
        return mask_phone(customer.phone) if customer.phone else EMPTY

    @admin.display(description=_("e-mail"))
    def shown_email(self, customer: Customer) -> str:
        return mask_email(customer.email) if customer.email else EMPTY

    @admin.display(description=_("registered at"))
    def shown_registered(self, customer: Customer) -> str:
        return shown.instant(customer.registered_at)


def contact(customer: Customer, context: dict[str, Any] | None = None) -> dict[str, Any]:
    """What the contact part of a customer's page shows: masked, unless it answers a reveal."""
    return {
        "customer": customer,
        "phone": mask_phone(customer.phone) if customer.phone else EMPTY,
        "email": mask_email(customer.email) if customer.email else EMPTY,
        "reason_length": REASON_LENGTH,
        **(context or {}),
    }
