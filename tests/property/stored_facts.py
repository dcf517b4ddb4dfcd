"""Histories as rows in PostgreSQL, written from the contract alone: nothing of the importer, the
mirror or the engine makes them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from json import dumps
from typing import Any

from django.db import connection, transaction

from segmentation.domain.history import CustomerHistory
from segmentation.models import (
    Customer,
    CustomerTag,
    Event,
    FactBatch,
    Order,
    OrderLine,
    Referral,
    Refund,
)

_TABLES = (
    "customertag", "referral", "event", "refund", "orderline", "order", "customer", "factbatch",
)  # fmt: skip
_ORDER = (
    "placed_at", "paid_at", "completed_at", "amount", "discount", "goods_amount",
    "shipping_amount", "stored_value_amount", "points_amount", "status", "is_promotion",
)  # fmt: skip
_ORDER_TEXTS = ("channel", "store_id", "staff_id", "payer_ref", "recipient_ref")
_LINE = ("line_no", "sku", "amount", "quantity", "discount", "cost", "is_durable", "qualifies")
_ATTRIBUTES = ("registered_at", "birth_date", "is_staff", "consent_marketing", "consent_at")
_TEXTS = ("gender", "city", "region", "channel", "home_store")


def store_facts(people: Sequence[CustomerHistory]) -> list[int]:
    """Replace all facts by those of `people`; a customer's ordinal is its position. Returns the
    primary keys in that order."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            for table in _TABLES:
                cursor.execute(f"DELETE FROM segmentation_{table}")
        batch = FactBatch.objects.create(
            kind="orders", source="api", recorded_at=datetime(2026, 1, 1, tzinfo=UTC)
        )
        customers = Customer.objects.bulk_create(
            Customer(
                batch=batch,
                external_id=person.external_id,
                ordinal=ordinal,
                **{name: getattr(person.attributes, name) for name in _ATTRIBUTES},
                **_texts(person.attributes, _TEXTS),
            )
            for ordinal, person in enumerate(people)
        )
        known = {person.external_id: row for person, row in zip(people, customers, strict=True)}
        for person in people:
            _store(person, known, batch)
    return [customer.pk for customer in customers]


def _store(person: CustomerHistory, known: dict[str, Customer], batch: FactBatch) -> None:
    customer = known[person.external_id]
    for number, order in enumerate(person.orders):
        row = Order.objects.create(
            batch=batch,
            external_id=f"{person.external_id}/{number}",
            customer=customer,
            currency=order.currency,
            **{name: getattr(order, name) for name in _ORDER},
            **_texts(order, _ORDER_TEXTS),
        )
        OrderLine.objects.bulk_create(
            OrderLine(
                batch=batch,
                order=row,
                **{name: getattr(line, name) for name in _LINE},
                **_texts(line, ("category",)),
            )
            for line in order.lines
        )
        Refund.objects.bulk_create(
            Refund(
                batch=batch,
                external_id=f"{row.external_id}/{place}",
                order=row,
                line_no=refund.line_no,
                refunded_at=refund.refunded_at,
                amount=refund.amount,
            )
            for place, refund in enumerate(order.refunds)
        )
    with connection.cursor() as cursor:
        for number, event in enumerate(person.events):
            cursor.execute(
                f"INSERT INTO {Event._meta.db_table} (batch_id, external_id, customer_id, name,"
                " occurred_at, properties) VALUES (%s, %s, %s, %s, %s, %s::jsonb)",
                [batch.pk, f"{person.external_id}/{number}", customer.pk, event.name,
                 event.occurred_at, _json(dict(event.properties))],
            )  # fmt: skip
    Referral.objects.bulk_create(
        Referral(
            batch=batch,
            external_id=f"{person.external_id}/{number}",
            referrer=customer,
            referee=known[referral.referee],
            occurred_at=referral.occurred_at,
        )
        for number, referral in enumerate(person.referrals)
    )
    CustomerTag.objects.bulk_create(
        CustomerTag(
            batch=batch,
            customer=customer,
            group=tag.group,
            value=tag.value,
            expires_at=tag.expires_at,
        )
        for tag in person.tags
    )


def _texts(source: object, names: Sequence[str]) -> dict[str, Any]:
    """An empty text is missing: nothing that records facts stores one."""
    return {name: getattr(source, name) or None for name in names}


def _json(value: Any) -> str:
    """JSON whose numbers keep every digit."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{dumps(key)}: {_json(one)}" for key, one in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(map(_json, value)) + "]"
    return format(value, "f") if isinstance(value, Decimal) else dumps(value)
