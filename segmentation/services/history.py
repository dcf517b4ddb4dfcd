"""Loads customers' facts as recorded up to a watermark, for the oracle.

Set-based: about ten queries however many customers are asked for.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from django.db import connection

from segmentation.domain.history import (
    Attributes,
    CustomerHistory,
    Event,
    Json,
    Order,
    OrderLine,
    Referral,
    Refund,
    Tag,
)
from segmentation.models import (
    Customer,
    CustomerListMember,
    CustomerTag,
    Fact,
    ManualMember,
    Objection,
)
from segmentation.models import Event as EventRow
from segmentation.models import Order as OrderRow
from segmentation.models import OrderLine as OrderLineRow
from segmentation.models import Referral as ReferralRow
from segmentation.models import Refund as RefundRow

Row = dict[str, Any]

# The row itself while its newest version was recorded by the watermark; else the one replaced
# version that was current then. Batches above the watermark are few, so the second half is cheap.
_ROWS = """
SELECT {columns} FROM {table} f
JOIN segmentation_factbatch b ON b.id = f.batch_id
WHERE f.{owner} = ANY(%(owners)s) AND b.generation <= %(watermark)s
UNION ALL
SELECT {columns} FROM segmentation_factversion v
JOIN segmentation_factbatch b ON b.id = v.batch_id
JOIN segmentation_factbatch s ON s.id = v.superseded_by_id
CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, v.row) f
WHERE v.kind = %(kind)s AND b.generation <= %(watermark)s
  AND (s.generation IS NULL OR s.generation > %(watermark)s)
  AND f.{owner} = ANY(%(owners)s)
ORDER BY 1
"""

_ATTRIBUTES = (
    "registered_at", "gender", "birth_date", "city", "region", "channel", "home_store", "is_staff",
    "consent_marketing", "consent_at",
)  # fmt: skip
_ORDER_FIELDS = (
    "placed_at", "amount", "paid_at", "completed_at", "discount", "goods_amount",
    "shipping_amount", "stored_value_amount", "points_amount", "currency", "channel",
    "is_promotion", "status", "store_id", "staff_id", "payer_ref", "recipient_ref",
)  # fmt: skip
_LINE_FIELDS = (
    "line_no", "sku", "amount", "category", "quantity", "discount", "cost", "is_durable",
    "qualifies",
)  # fmt: skip
_REFUND_FIELDS = ("refunded_at", "amount", "line_no")


@dataclass(frozen=True, slots=True)
class Overrides:
    """What people set by hand, by customer ordinal: keys of segments a customer was put into or
    kept out of, keys of the lists a customer is on, and who objects to personalised decisions."""

    included: Mapping[int, frozenset[str]] = field(default_factory=dict)
    excluded: Mapping[int, frozenset[str]] = field(default_factory=dict)
    objecting: frozenset[int] = frozenset()
    lists: Mapping[int, frozenset[str]] = field(default_factory=dict)


def load_histories(
    customer_ids: Collection[int], *, watermark: int, overrides: Overrides | None = None
) -> dict[int, CustomerHistory]:
    """The customers' facts as recorded up to the watermark, by primary key.

    A customer first recorded later is left out. `overrides` None: as they are now.
    """
    customers = _rows(
        Customer,
        "customers",
        customer_ids,
        watermark,
        "id",
        ("external_id", "ordinal", *_ATTRIBUTES),
    )
    ids = [row["id"] for row in customers]
    if overrides is None:
        overrides = current_overrides(ids)
    referrals = _rows(
        ReferralRow, "referrals", ids, watermark, "referrer_id", ("referee_id", "occurred_at")
    )
    referees = {row["referee_id"] for row in referrals}
    orders = _orders(ids, watermark=watermark, with_lines=True)
    bought = _orders(referees, watermark=watermark, with_lines=False)
    names = dict(Customer.objects.filter(pk__in=referees).values_list("pk", "external_id"))
    events = _events(ids, watermark=watermark)
    tags = _tags(ids, watermark=watermark)
    made: dict[int, list[Referral]] = defaultdict(list)
    for row in referrals:
        referee = row["referee_id"]
        made[row["owner"]].append(
            Referral(names[referee], row["occurred_at"], tuple(bought.get(referee, ())))
        )
    return {
        row["id"]: CustomerHistory(
            external_id=row["external_id"],
            attributes=Attributes(**{name: row[name] for name in _ATTRIBUTES}),
            orders=tuple(orders.get(row["id"], ())),
            events=tuple(events.get(row["id"], ())),
            referrals=tuple(made.get(row["id"], ())),
            tags=tuple(tags.get(row["id"], ())),
            included=overrides.included.get(row["ordinal"], frozenset()),
            excluded=overrides.excluded.get(row["ordinal"], frozenset()),
            objects=row["ordinal"] in overrides.objecting,
            lists=overrides.lists.get(row["ordinal"], frozenset()),
        )
        for row in customers
    }


def current_overrides(customer_ids: Collection[int]) -> Overrides:
    """Manual includes, excludes, lists and objections of these customers, as they are now."""
    by_kind: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    manual = ManualMember.objects.filter(customer__in=customer_ids).values_list(
        "kind", "customer__ordinal", "segment__key"
    )
    for kind, ordinal, key in manual:
        by_kind[kind][ordinal].add(key)
    for ordinal, key in CustomerListMember.objects.filter(
        customer__in=customer_ids, list__retired_at=None
    ).values_list("customer__ordinal", "list__key"):
        by_kind["list"][ordinal].add(key)
    objecting = Objection.objects.filter(customer__in=customer_ids)
    return Overrides(
        included=_frozen(by_kind["include"]),
        excluded=_frozen(by_kind["exclude"]),
        objecting=frozenset(objecting.values_list("customer__ordinal", flat=True)),
        lists=_frozen(by_kind["list"]),
    )


def read_overrides(table: pa.Table, *, ordinals: Collection[int]) -> Overrides:
    """What a run pinned (columns ordinal, kind, segment) about customers, by ordinal."""
    chosen = table.filter(pc.is_in(table["ordinal"], pa.array(list(ordinals), pa.int64())))
    by_kind: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    objecting: set[int] = set()
    for row in chosen.to_pylist():
        if row["kind"] == "objection":
            objecting.add(row["ordinal"])
        else:
            by_kind[row["kind"]][row["ordinal"]].add(row["segment"])
    return Overrides(
        included=_frozen(by_kind["include"]),
        excluded=_frozen(by_kind["exclude"]),
        objecting=frozenset(objecting),
        lists=_frozen(by_kind["list"]),
    )


def _frozen(keys: Mapping[int, set[str]]) -> dict[int, frozenset[str]]:
    return {ordinal: frozenset(names) for ordinal, names in keys.items()}


def _rows(
    model: type[Fact],
    kind: str,
    owners: Collection[int],
    watermark: int,
    owner: str,
    columns: tuple[str, ...],
) -> list[Row]:
    """Rows of a fact table with `id`, `owner` and the columns, in order of id."""
    if not owners:
        return []
    quote = connection.ops.quote_name
    select = ["f.id", f"f.{owner}", *(f"f.{quote(column)}" for column in columns)]
    sql = _ROWS.format(columns=", ".join(select), table=quote(model._meta.db_table), owner=owner)
    with connection.cursor() as cursor:
        cursor.execute(sql, {"owners": list(owners), "kind": kind, "watermark": watermark})
        names = ("id", "owner", *columns)
        return [dict(zip(names, values, strict=True)) for values in cursor.fetchall()]


def _orders(
    customers: Collection[int], *, watermark: int, with_lines: bool
) -> dict[int, list[Order]]:
    rows = _rows(OrderRow, "orders", customers, watermark, "customer_id", _ORDER_FIELDS)
    ids = [row["id"] for row in rows]
    lines: dict[int, list[OrderLine]] = defaultdict(list)
    if with_lines:
        for row in _rows(OrderLineRow, "order_lines", ids, watermark, "order_id", _LINE_FIELDS):
            lines[row["owner"]].append(OrderLine(**_only(row, _LINE_FIELDS)))
    refunds: dict[int, list[Refund]] = defaultdict(list)
    for row in _rows(RefundRow, "refunds", ids, watermark, "order_id", _REFUND_FIELDS):
        refunds[row["owner"]].append(Refund(**_only(row, _REFUND_FIELDS)))
    found: dict[int, list[Order]] = defaultdict(list)
    for row in rows:
        found[row["owner"]].append(
            Order(
                **_only(row, _ORDER_FIELDS),
                lines=tuple(sorted(lines[row["id"]], key=lambda line: line.line_no)),
                refunds=tuple(refunds[row["id"]]),
            )
        )
    return found


def _only(row: Row, names: tuple[str, ...]) -> Row:
    return {name: row[name] for name in names}


def _events(customers: Collection[int], *, watermark: int) -> dict[int, list[Event]]:
    found: dict[int, list[Event]] = defaultdict(list)
    columns = ("name", "occurred_at", "properties")
    for row in _rows(EventRow, "events", customers, watermark, "customer_id", columns):
        properties = _json(row["properties"])
        found[row["owner"]].append(
            Event(
                row["name"],
                row["occurred_at"],
                properties if isinstance(properties, Mapping) else {},
            )
        )
    return found


def _json(document: object) -> Json:
    """JSON with exact numbers: the driver hands jsonb over as text."""
    if not isinstance(document, str):
        return None
    parsed: Json = json.loads(document, parse_float=Decimal, object_hook=_freeze_object)
    return parsed


def _freeze_object(members: dict[str, Any]) -> dict[str, Any]:
    return {key: _freeze(value) for key, value in members.items()}


def _freeze(value: Any) -> Any:
    return tuple(_freeze(child) for child in value) if isinstance(value, list) else value


def _tags(customers: Collection[int], *, watermark: int) -> dict[int, list[Tag]]:
    found: dict[int, list[Tag]] = defaultdict(list)
    columns = ("group", "value", "expires_at", "is_removed")
    for row in _rows(CustomerTag, "tags", customers, watermark, "customer_id", columns):
        if not row["is_removed"]:
            found[row["owner"]].append(Tag(row["group"], row["value"], row["expires_at"]))
    return found
