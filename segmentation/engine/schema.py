"""The mirror's Parquet columns, kind by kind.

Times are int64 microseconds since 1970-01-01 UTC; `*_day` are int32 days since 1970-01-01 of the
local date in the project's zone; money and quantities are int64 in 1/10000. Customers are their
`ordinal`. Names, phones, e-mails and other personal identities stay out of the mirror.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

MONEY_SCALE = 10_000
PROPERTY_SCALE = 1_000_000_000
_CAPITAL = re.compile(r"[A-Z^]")


def name_part(text: str) -> str:
    """A text as part of a column's name, a different one for every text.

    DuckDB takes `Page` and `page` for the same column, so capitals are written `^p`.
    """
    return _CAPITAL.sub(lambda found: "^" + found[0].lower(), text)


@dataclass(frozen=True, slots=True)
class MirrorKind:
    """How one kind of fact is read from PostgreSQL and stored.

    `sql` selects from `{table}`, an expression that has the kind's row columns plus `generation`
    and `dead` (the generation that replaced the row, or a huge number); lines also from `{orders}`,
    the same for their orders. Time columns come as timestamptz and are listed in `times`:
    `(name, has_day)`. `month` is the column whose month names the folder; None: one folder for all.
    """

    table: str
    sql: str
    schema: pa.Schema
    times: tuple[tuple[str, bool], ...] = ()
    month: str | None = None


def _money(*names: str) -> str:
    return ", ".join(f"(f.{name} * {MONEY_SCALE})::bigint AS {name}" for name in names)


_I64, _I32, _BOOL, _TEXT = pa.int64(), pa.int32(), pa.bool_(), pa.string()


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list({"id": _I64, "generation": _I64, **columns}.items()))


_ORDER_TIMES = {
    "placed_at": _I64,
    "placed_day": _I32,
    "paid_at": _I64,
    "paid_day": _I32,
    "completed_at": _I64,
    "completed_day": _I32,
}
_COUNTED = "o.status NOT IN ('created', 'cancelled')"
# DuckDB reads a JSON number with a point as a float. Such numbers become texts, digit by digit;
# the pattern spares most events the work.
_EXACT_PROPERTIES = (
    "CASE WHEN jsonb_typeof(f.properties) = 'object' AND f.properties::text ~ '[0-9]\\.[0-9]'"
    " THEN (SELECT jsonb_object_agg(p.key, CASE jsonb_typeof(p.value) WHEN 'number'"
    " THEN to_jsonb(p.value::text) ELSE p.value END) FROM jsonb_each(f.properties) p)::text"
    " ELSE f.properties::text END"
)

MIRROR_KINDS: dict[str, MirrorKind] = {
    "customers": MirrorKind(
        table="segmentation_customer",
        sql=(
            "SELECT f.id, f.generation, f.ordinal, f.external_id, f.gender, f.city, f.region,"
            " f.channel, f.home_store, COALESCE(f.is_staff, false) AS is_staff,"
            " COALESCE(f.consent_marketing, false) AS consent_marketing, f.registered_at,"
            # What an erasure leaves is no customer any more, at no generation; one who was merged
            # is none from the version on that says so.
            " f.consent_at, f.birth_date FROM {table} f"
            " WHERE f.erased_at IS NULL AND f.merged_into_id IS NULL"
        ),
        schema=_schema(
            ordinal=_I64,
            external_id=_TEXT,
            gender=_TEXT,
            city=_TEXT,
            region=_TEXT,
            channel=_TEXT,
            home_store=_TEXT,
            is_staff=_BOOL,
            consent_marketing=_BOOL,
            registered_at=_I64,
            registered_day=_I32,
            consent_at=_I64,
            consent_day=_I32,
            birth_date=pa.date32(),
        ),
        times=(("registered_at", True), ("consent_at", True)),
    ),
    "orders": MirrorKind(
        table="segmentation_order",
        sql=(
            "SELECT f.id, f.generation, c.ordinal, f.placed_at, f.paid_at, f.completed_at, "
            + _money(
                "amount",
                "discount",
                "goods_amount",
                "shipping_amount",
                "stored_value_amount",
                "points_amount",
            )
            + ", f.currency, f.channel, COALESCE(f.is_promotion, false) AS is_promotion, f.status,"
            " f.store_id, f.staff_id, f.payer_ref, f.recipient_ref"
            " FROM {table} f JOIN segmentation_customer c ON c.id = f.customer_id"
            f" WHERE {_COUNTED.replace('o.', 'f.')}"
        ),
        schema=_schema(
            ordinal=_I64,
            **_ORDER_TIMES,
            amount=_I64,
            discount=_I64,
            goods_amount=_I64,
            shipping_amount=_I64,
            stored_value_amount=_I64,
            points_amount=_I64,
            currency=_TEXT,
            channel=_TEXT,
            is_promotion=_BOOL,
            status=_TEXT,
            store_id=_TEXT,
            staff_id=_TEXT,
            payer_ref=_TEXT,
            recipient_ref=_TEXT,
        ),
        times=(("placed_at", True), ("paid_at", True), ("completed_at", True)),
        month="placed_day",
    ),
    "order_lines": MirrorKind(
        table="segmentation_orderline",
        sql=(
            "SELECT f.id, GREATEST(f.generation, o.generation) AS generation, c.ordinal,"
            " f.order_id, f.line_no, o.placed_at, o.paid_at, o.completed_at, f.sku, f.category, "
            + _money("quantity", "amount", "discount", "cost")
            + ", COALESCE(f.is_durable, false) AS is_durable,"
            " COALESCE(f.qualifies, false) AS qualifies, o.channel, o.store_id, o.status,"
            " COALESCE(o.is_promotion, false) AS is_promotion FROM {table} f"
            " JOIN {orders} o ON o.id = f.order_id"
            f" JOIN segmentation_customer c ON c.id = o.customer_id WHERE {_COUNTED}"
            # A line's row carries its order's columns: one row for each stretch of generations in
            # which one version of the line met one version of its order.
            " AND GREATEST(f.generation, o.generation) < LEAST(f.dead, o.dead)"
        ),
        schema=_schema(
            ordinal=_I64,
            order_id=_I64,
            line_no=_I64,
            **_ORDER_TIMES,
            sku=_TEXT,
            category=_TEXT,
            quantity=_I64,
            amount=_I64,
            discount=_I64,
            cost=_I64,
            is_durable=_BOOL,
            qualifies=_BOOL,
            channel=_TEXT,
            store_id=_TEXT,
            status=_TEXT,
            is_promotion=_BOOL,
        ),
        times=(("placed_at", True), ("paid_at", True), ("completed_at", True)),
        month="placed_day",
    ),
    "refunds": MirrorKind(
        table="segmentation_refund",
        sql=(
            "SELECT f.id, f.generation, f.order_id, f.line_no, f.refunded_at, "
            + _money("amount")
            + " FROM {table} f"
        ),
        schema=_schema(order_id=_I64, line_no=_I64, refunded_at=_I64, amount=_I64),
        times=(("refunded_at", False),),
    ),
    "events": MirrorKind(
        table="segmentation_event",
        sql=(
            "SELECT f.id, f.generation, c.ordinal, f.name, f.occurred_at, "
            + _EXACT_PROPERTIES
            + " AS properties FROM {table} f JOIN segmentation_customer c ON c.id = f.customer_id"
        ),
        schema=_schema(
            ordinal=_I64, name=_TEXT, occurred_at=_I64, occurred_day=_I32, properties=_TEXT
        ),
        times=(("occurred_at", True),),
        month="occurred_day",
    ),
    "referrals": MirrorKind(
        table="segmentation_referral",
        sql=(
            "SELECT f.id, f.generation, c.ordinal, e.ordinal AS referee, f.occurred_at"
            " FROM {table} f JOIN segmentation_customer c ON c.id = f.referrer_id"
            " JOIN segmentation_customer e ON e.id = f.referee_id"
        ),
        schema=_schema(ordinal=_I64, referee=_I64, occurred_at=_I64, occurred_day=_I32),
        times=(("occurred_at", True),),
    ),
    "tags": MirrorKind(
        table="segmentation_customertag",
        sql=(
            'SELECT f.id, f.generation, c.ordinal, f."group" AS tag_group, f.value, f.expires_at'
            " FROM {table} f JOIN segmentation_customer c ON c.id = f.customer_id"
            " WHERE NOT f.is_removed"
        ),
        schema=_schema(ordinal=_I64, tag_group=_TEXT, value=_TEXT, expires_at=_I64),
        times=(("expires_at", False),),
    ),
}

TOMBSTONES = pa.schema([("id", _I64), ("generation", _I64)])
