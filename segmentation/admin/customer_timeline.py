"""The timeline of a customer's page: what each line says, and an order with its lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.models import Customer, Order
from segmentation.permissions import row_scope
from segmentation.queries.timeline import KINDS, Happening, Kind, Position, timeline

from . import shown
from .facts import OTHER_STORE
from .orders import order_panels


@dataclass(frozen=True, slots=True)
class Face:
    """How one kind of happening is named and drawn, and the right it needs."""

    title: str | Promise
    plural: str | Promise
    icon: str
    right: str


FACES: dict[Kind, Face] = {
    "order": Face(
        gettext_lazy("Order"), gettext_lazy("Orders"), "shopping_bag", "segmentation.view_order"
    ),
    "refund": Face(
        gettext_lazy("Refund"), gettext_lazy("Refunds"), "undo", "segmentation.view_refund"
    ),
    "event": Face(gettext_lazy("Event"), gettext_lazy("Events"), "bolt", "segmentation.view_event"),
    "referral_made": Face(
        gettext_lazy("Brought a customer"),
        gettext_lazy("Customers brought"),
        "group_add",
        "segmentation.view_referral",
    ),
    "referral_received": Face(
        gettext_lazy("Was brought by a customer"),
        gettext_lazy("Brought by others"),
        "person_add",
        "segmentation.view_referral",
    ),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline, in words."""

    kind: Kind
    title: str
    icon: str
    at: str
    key: str  # the fact's id
    words: str
    amount: str
    link: str  # to the fact's page
    details: str  # where an order's lines are fetched from; "" for the others


@dataclass(frozen=True, slots=True)
class Choice:
    """A kind to filter by."""

    kind: str
    title: str
    is_chosen: bool


def timeline_part(
    customer: Customer, *, user: Any, wanted: Sequence[str], after: str
) -> dict[str, Any]:
    """One page of the timeline; unknown kinds and positions are as good as none."""
    allowed = [kind for kind in KINDS if user.has_perm(FACES[kind].right)]
    if not allowed:
        raise PermissionDenied
    kinds = [kind for kind in allowed if kind in wanted]
    page = timeline(customer, kinds=kinds or allowed, after=Position.read(after))
    address = reverse("admin:segmentation_customer_timeline", args=[customer.pk])
    older = ""
    if page.older is not None:
        query = [("kind", kind) for kind in kinds] + [("after", str(page.older))]
        older = f"{address}?{urlencode(query)}"
    stores = row_scope(user)
    return {
        "customer": customer,
        "lines": [_line(found, customer, stores) for found in page.happenings],
        "older": older,
        "is_continued": bool(after),
        "is_filtered": bool(kinds),
        "address": address,
        "choices": [Choice(kind, str(FACES[kind].plural), kind in kinds) for kind in allowed],
    }


def may_see_timeline(user: Any) -> bool:
    return any(user.has_perm(face.right) for face in FACES.values())


def order_part(customer: Customer, *, user: Any, order_id: int) -> dict[str, Any]:
    """An order's lines and refunds; 404 for an order of somebody else."""
    if not user.has_perm(FACES["order"].right):
        raise PermissionDenied
    order = Order.objects.filter(customer=customer, pk=order_id).first()
    if order is None:
        raise Http404
    return {"order": order, "tables": order_panels(order)}


def _line(found: Happening, customer: Customer, stores: tuple[str, ...] | None) -> Line:
    face, row = FACES[found.kind], found.row
    words, amount, details = "", "", ""
    code = shown.currency()
    match found.kind:
        case "order":
            parts = [str(row.get_status_display()), row.channel or "", _store(row.store_id)]
            if row.is_promotion:
                parts.append(_("on promotion"))
            words = " · ".join(part for part in parts if part)
            amount = f"{shown.money(row.amount, code=code)} {code}"
            details = reverse("admin:segmentation_customer_order", args=[customer.pk, row.pk])
        case "refund":
            words = _("of order %(order)s") % {"order": row.order.external_id}
            amount = f"−{shown.money(row.amount, code=code)} {code}"
        case "event":
            properties = row.properties if isinstance(row.properties, dict) else {}
            named = ", ".join(f"{key}: {value}" for key, value in sorted(properties.items()))
            words = " · ".join(part for part in (row.name, named) if part)
        case "referral_made":
            words = _other(row.referee, stores)
        case "referral_received":
            words = _other(row.referrer, stores)
    model = row._meta.model_name
    return Line(
        kind=found.kind,
        title=str(face.title),
        icon=face.icon,
        at=shown.instant(found.at),
        key=row.external_id,
        words=words,
        amount=amount,
        link=reverse(f"admin:segmentation_{model}_change", args=[row.pk]),
        details=details,
    )


def _store(store: str | None) -> str:
    return _("store %(store)s") % {"store": store} if store else ""


def _other(customer: Customer, stores: tuple[str, ...] | None) -> str:
    """The other customer of a referral, unless this person may not know of them."""
    if stores is None or customer.home_store in stores:
        return customer.external_id
    return str(OTHER_STORE)
