"""Customers of a group as a table: masked, a page at a time, each leading to the customer."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.utils.translation import gettext as _
from pyroaring import BitMap

from segmentation.admin.facts import customer_link
from segmentation.domain.masking import mask_email, mask_phone
from segmentation.models import Customer
from segmentation.services.members import members_page

from . import shown
from .base import EMPTY

VIEW_CUSTOMER = "segmentation.view_customer"
PAGE = 50


def customer_headers() -> tuple[str, ...]:
    return (
        _("customer"), _("Customer name"), _("phone"), _("e-mail"), _("home store"), _("city"),
        _("registered at"),
    )  # fmt: skip


def customer_cells(customer: Customer) -> tuple[Any, ...]:
    """A customer's row, contacts masked."""
    return (
        customer_link(customer),
        customer.name or EMPTY,
        mask_phone(customer.phone) if customer.phone else EMPTY,
        mask_email(customer.email) if customer.email else EMPTY,
        customer.home_store or EMPTY,
        customer.city or EMPTY,
        shown.instant(customer.registered_at),
    )


def members_context(
    members: BitMap, *, request: HttpRequest, title: Any, empty: Any
) -> dict[str, Any]:
    """One page of these customers and the addresses of the next and the first page.

    `members` may hold customers of other stores: the page keeps to the reader's row scope.
    Raises PermissionDenied without the right to see customers.
    """
    if not request.user.has_perm(VIEW_CUSTOMER):
        raise PermissionDenied
    asked = request.GET.get("after", "")
    after = int(asked) if asked.isdecimal() and len(asked) < 11 else None
    page = members_page(members, after=after, limit=PAGE, viewer=request.user)
    rows = [customer_cells(customer) for customer in page.customers]
    kept = {name: value for name, value in request.GET.items() if name != "after"}
    following = page.next_after
    return {
        "table": shown.Table(title, customer_headers(), rows, empty=empty),
        "total": shown.count(page.total),
        "next_url": None if following is None else f"?{urlencode({**kept, 'after': following})}",
        "first_url": None if after is None else f"?{urlencode(kept)}",
    }
