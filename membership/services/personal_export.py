"""Everything a customer has a right to see about themselves, as one JSON file (ADR 0020).

It holds what was recorded about the person and what they were promised: attributes, facts with
their replaced versions, tags, memberships and how they came about. It names no internal grouping;
in their place stands a statement of what is derived from the facts and how to object.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Model, Q
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from membership.models import Membership, Transition
from segmentation.domain.errors import NotFoundError
from segmentation.models import (
    AccessRecord,
    Customer,
    CustomerTag,
    Event,
    FactVersion,
    Objection,
    Order,
    OrderLine,
    PrivacyRequest,
    Referral,
    Refund,
    living,
)
from segmentation.services.access_log import Looker, record_access
from segmentation.services.job_kinds import job_kind
from segmentation.services.jobs import JobWork
from segmentation.services.privacy import EXPORT_JOB, find_receipt
from segmentation.services.public_tags import public_tags

FILE = "personal-data.json"
_ATTRIBUTES = (
    "registered_at", "name", "phone", "email", "gender", "birth_date", "city", "region", "channel",
    "home_store", "is_staff", "consent_marketing", "consent_at", "unionid", "external_userid",
)  # fmt: skip
_ORDER = (
    "placed_at", "paid_at", "completed_at", "amount", "discount", "goods_amount",
    "shipping_amount", "stored_value_amount", "points_amount", "currency", "rate", "channel",
    "is_promotion", "status", "store_id", "staff_id", "payer_ref", "recipient_ref",
)  # fmt: skip
_LINE = (
    "line_no", "sku", "category", "quantity", "amount", "discount", "is_durable", "qualifies",
)  # fmt: skip
_REFUND = ("line_no", "refunded_at", "amount")
# Our own row numbers and what the goods cost us say nothing about the person.
_INTERNAL = frozenset(
    {"id", "ordinal", "batch_id", "customer_id", "order_id", "referrer_id", "referee_id",
     "is_stub", "erased_at", "cost"}
)  # fmt: skip


@job_kind(EXPORT_JOB, title=gettext_lazy("A customer's data for the customer"))
def export(work: JobWork) -> dict[str, object]:
    """Write the file of a receipt; each file made is written down in the access log."""
    request = find_receipt(work.parameters["receipt"])
    document = personal_document(request.customer_ref, receipt=request.receipt, now=work.clock())
    path = work.result(FILE)
    path.write_text(json.dumps(document, ensure_ascii=False, indent=2, default=str), "utf-8")
    if not Customer.objects.filter(living(), external_id=request.customer_ref).exists():
        path.unlink()
        raise NotFoundError(_("There is no such customer."))
    record_access(
        AccessRecord.Kind.PRIVACY_EXPORT,
        looker=Looker(actor=request.actor, via=request.via, user=work.user),
        subject=f"customer:{request.customer_ref}",
        now=work.clock(),
        rows=1,
        details={"receipt": request.receipt},
    )
    request.done_at = work.clock()
    request.save(update_fields=["done_at"])
    return {"receipt": request.receipt}


def personal_document(external_id: str, *, receipt: str, now: datetime) -> dict[str, Any]:
    """The document of the file. Raises NotFoundError for an unknown or erased customer."""
    customer = Customer.objects.filter(living(), external_id=external_id).first()
    if customer is None:
        raise NotFoundError(_("There is no such customer."))
    objection = Objection.objects.filter(customer=customer).first()
    orders = Order.objects.filter(customer=customer).prefetch_related("lines", "refunds")
    events = Event.objects.filter(customer=customer).order_by("occurred_at", "pk")
    return {
        "customer_id": external_id,
        "receipt": receipt,
        "made_at": _plain(now),
        "statement": _statement(),
        "attributes": _columns(customer, _ATTRIBUTES),
        "merged_ids": [
            {"customer_id": alias.external_id, **_columns(alias, _ATTRIBUTES)}
            for alias in customer.aliases.order_by("pk")
        ],
        "objects_to_personalised_decisions_since": _plain(objection and objection.objected_at),
        "orders": [_order(order) for order in orders.order_by("placed_at", "pk")],
        "events": [
            _columns(event, ("external_id", "name", "occurred_at", "properties"))
            for event in events
        ],
        "referrals": _referrals(customer),
        "tags": _tags(customer, now=now),
        "earlier_versions": _earlier(customer),
        "memberships": _memberships(customer),
        "transitions": _transitions(customer),
        "privacy_requests": list(
            PrivacyRequest.objects.filter(customer_ref=external_id)
            .order_by("pk")
            .values("receipt", "kind", "requested_at", "done_at")
        ),
    }


def _statement() -> str:
    return _(
        "This file holds what is recorded about you and the memberships you have. From these "
        "facts internal groups are derived for service, offers and statistics; their names and "
        "rules are not part of this file. You can object to personalised decisions at any time: "
        "you are then in none of the groups they are made with."
    )


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _columns(row: Model, names: Iterable[str]) -> dict[str, Any]:
    return {name: _plain(getattr(row, name)) for name in names}


def _order(order: Order) -> dict[str, Any]:
    lines = sorted(order.lines.all(), key=lambda line: line.line_no)
    refunds = sorted(order.refunds.all(), key=lambda refund: refund.refunded_at)
    return {
        "order_id": order.external_id,
        **_columns(order, _ORDER),
        "lines": [_columns(line, _LINE) for line in lines],
        "refunds": [
            {"refund_id": refund.external_id, **_columns(refund, _REFUND)} for refund in refunds
        ],
    }


def _referrals(customer: Customer) -> list[dict[str, Any]]:
    """When the customer brought somebody or was brought; who the other one is stays theirs."""
    rows = Referral.objects.filter(Q(referrer=customer) | Q(referee=customer)).order_by("pk")
    return [
        {
            "referral_id": row.external_id,
            "role": "referrer" if row.referrer_id == customer.pk else "referred",
            "occurred_at": _plain(row.occurred_at),
        }
        for row in rows
    ]


def _tags(customer: Customer, *, now: datetime) -> dict[str, Any]:
    recorded = CustomerTag.objects.filter(customer=customer).order_by("group", "value")
    return {
        "recorded": [
            _columns(tag, ("group", "value", "expires_at", "is_removed")) for tag in recorded
        ],
        "public": public_tags(customer, now=now),
    }


def _earlier(customer: Customer) -> list[dict[str, Any]]:
    """What later records replaced, without our own row numbers."""
    ids: Mapping[str, Any] = {
        "customers": [customer.pk],
        "orders": customer.orders.values("pk"),
        "events": customer.events.values("pk"),
        "tags": customer.tags.values("pk"),
        "order_lines": OrderLine.objects.filter(order__customer=customer).values("pk"),
        "refunds": Refund.objects.filter(order__customer=customer).values("pk"),
    }
    found: list[dict[str, Any]] = []
    for kind, keys in ids.items():
        versions = FactVersion.objects.filter(kind=kind, row_id__in=keys).order_by("pk")
        for replaced_at, row in versions.values_list("superseded_by__recorded_at", "row"):
            kept = {name: value for name, value in row.items() if name not in _INTERNAL}
            found.append({"kind": kind, "replaced_at": _plain(replaced_at), "row": kept})
    return found


def _memberships(customer: Customer) -> list[dict[str, Any]]:
    rows = Membership.objects.filter(customer=customer).select_related("program")
    return [
        {"program": row.program.key, **_columns(row, ("tier", "since", "until", "grace_until"))}
        for row in rows.order_by("program__key")
    ]


def _transitions(customer: Customer) -> list[dict[str, Any]]:
    rows = Transition.objects.filter(customer=customer).select_related("program").order_by("pk")
    names = ("kind", "from_tier", "to_tier", "at", "since", "until", "reasons", "values")
    return [{"program": row.program.key, **_columns(row, names)} for row in rows]
