"""How each kind lies in its table: which staged column fills which stored one.

SQL names used throughout: `s` a staged row, `t` the stored row of the same key, `c` and `d` the
customers it names, `p` its order (of `import_orders`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from segmentation.domain.facts import FACT_KINDS
from segmentation.domain.values import currency_decimals

_MONEY_OF_ORDERS = (
    "amount", "discount", "goods_amount", "shipping_amount", "stored_value_amount",
    "points_amount",
)  # fmt: skip
_MONEY_OF_LINES = ("amount", "discount", "cost")


@dataclass(frozen=True, slots=True)
class Assigned:
    """A stored column and the SQL of its value.

    `sent_as` is the staged column whose presence decides whether the value is taken; None: always.
    When nothing was sent a new row gets `default` and a stored one `kept`, or stays as it is.
    """

    column: str
    value: str
    sent_as: str | None = None
    default: str | None = None
    kept: str | None = None


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind's table. `key` are the staged columns of the key, `chain` what rows of a file follow
    each other in (the key; for an exclusive tag group its group), `fixed` is written once."""

    table: str
    key: tuple[str, ...]
    chain: tuple[str, ...]
    joins: str
    match: str
    fixed: tuple[Assigned, ...]
    assigned: tuple[Assigned, ...]
    customers: tuple[str, ...] = ()
    # Further SQL conditions under which a stored row counts as changed, or as new.
    changed_too: str = "FALSE"
    is_new: str = "FALSE"


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def converted(column: str, *, rate: str, base_currency: str) -> str:
    """A staged amount in the base currency, rounded half-up once."""
    decimals = currency_decimals(base_currency)
    return (
        f"CASE WHEN {rate} IS NULL THEN s.{column} ELSE round(s.{column} * {rate}, {decimals}) END"
    )


def _as_sent(*names: str) -> tuple[Assigned, ...]:
    return tuple(Assigned(name, f"s.{quoted(name)}", sent_as=name) for name in names)


def _money(names: tuple[str, ...], *, rate: str, base_currency: str) -> tuple[Assigned, ...]:
    return tuple(
        Assigned(name, converted(name, rate=rate, base_currency=base_currency), sent_as=name)
        for name in names
    )


def _customer_join(alias: str, column: str) -> str:
    return f" LEFT JOIN segmentation_customer {alias} ON {alias}.external_id = s.{column}"


_ORDER_JOIN = " JOIN import_orders p ON p.external_id = s.order_id"


def shape_of(
    kind: str, *, base_currency: str, now: datetime, exclusive_groups: tuple[str, ...] = ()
) -> Shape:
    """The shape of a kind; `exclusive_groups` and `now` matter to tags alone."""
    match kind:
        case "customers":
            return _customers()
        case "orders":
            return _orders(base_currency)
        case "order_lines":
            money = _money(_MONEY_OF_LINES, rate="p.rate", base_currency=base_currency)
            return Shape(
                table="segmentation_orderline",
                key=("order_id", "line_no"),
                chain=("s.order_id", "s.line_no"),
                joins=_ORDER_JOIN,
                match="t.order_id = p.id AND t.line_no = s.line_no",
                fixed=(Assigned("order_id", "p.id"), Assigned("line_no", "s.line_no")),
                assigned=money + _as_sent("sku", "category", "quantity", "is_durable", "qualifies"),
            )
        case "refunds":
            return Shape(
                table="segmentation_refund",
                key=("refund_id",),
                chain=("s.refund_id",),
                joins=_ORDER_JOIN,
                match="t.external_id = s.refund_id",
                fixed=(Assigned("external_id", "s.refund_id"),),
                assigned=(
                    Assigned("order_id", "p.id"),
                    *_money(("amount",), rate="p.rate", base_currency=base_currency),
                    *_as_sent("refunded_at", "line_no"),
                ),
            )
        case "events":
            return Shape(
                table="segmentation_event",
                key=("event_id",),
                chain=("s.event_id",),
                joins=_customer_join("c", "customer_id"),
                match="t.external_id = s.event_id",
                fixed=(Assigned("external_id", "s.event_id"),),
                assigned=(
                    Assigned("customer_id", "c.id"),
                    *_as_sent("name", "occurred_at", "properties"),
                ),
                customers=("customer_id",),
            )
        case "referrals":
            return Shape(
                table="segmentation_referral",
                key=("referral_id",),
                chain=("s.referral_id",),
                joins=_customer_join("c", "referrer_id") + _customer_join("d", "referee_id"),
                match="t.external_id = s.referral_id",
                fixed=(Assigned("external_id", "s.referral_id"),),
                assigned=(
                    Assigned("referrer_id", "c.id"),
                    Assigned("referee_id", "d.id"),
                    *_as_sent("occurred_at"),
                ),
                customers=("referrer_id", "referee_id"),
            )
        case "tags":
            return _tags(exclusive_groups, now=now)
    raise ValueError(f"no kind {kind}")


def _customers() -> Shape:
    names = (column.name for column in FACT_KINDS["customers"].columns)
    return Shape(
        table="segmentation_customer",
        key=("customer_id",),
        chain=("s.customer_id",),
        joins="",
        match="t.external_id = s.customer_id",
        fixed=(Assigned("external_id", "s.customer_id"),),
        assigned=(
            *_as_sent(*(name for name in names if name != "customer_id")),
            Assigned("is_stub", "FALSE"),
        ),
        is_new="t.is_stub",  # known by name only until now
    )


def _orders(base_currency: str) -> Shape:
    plain = (
        "placed_at", "paid_at", "completed_at", "channel", "is_promotion", "store_id", "staff_id",
        "payer_ref", "recipient_ref",
    )  # fmt: skip
    return Shape(
        table="segmentation_order",
        key=("order_id",),
        chain=("s.order_id",),
        joins=_customer_join("c", "customer_id"),
        match="t.external_id = s.order_id",
        fixed=(Assigned("external_id", "s.order_id"),),
        assigned=(
            Assigned("customer_id", "c.id"),
            Assigned("currency", f"COALESCE(s.currency, {literal(base_currency)})"),
            Assigned("rate", "s.rate"),
            *_money(_MONEY_OF_ORDERS, rate="s.rate", base_currency=base_currency),
            *_as_sent(*plain),
            Assigned("status", "s.status", sent_as="status", default="'completed'"),
        ),
        customers=("customer_id",),
    )


def _tags(exclusive_groups: tuple[str, ...], *, now: datetime) -> Shape:
    exclusive = ", ".join(literal(group) for group in exclusive_groups) or "NULL"
    is_exclusive = f's."group" IN ({exclusive})'
    others = (
        "EXISTS (SELECT FROM segmentation_customertag o WHERE o.customer_id = t.customer_id"
        ' AND o."group" = t."group" AND o.value <> t.value AND NOT o.is_removed)'
    )
    # A tag that had ended starts anew: the expiry of its former time does not come back.
    kept = f"CASE WHEN {tag_is_live('t', now=now)} THEN t.expires_at END"
    return Shape(
        table="segmentation_customertag",
        key=("customer_id", "group", "value"),
        chain=(
            "s.customer_id",
            's."group"',
            f"CASE WHEN {is_exclusive} THEN NULL ELSE s.value END",
        ),
        joins=_customer_join("c", "customer_id"),
        match='t.customer_id = c.id AND t."group" = s."group" AND t.value = s.value',
        fixed=(
            Assigned("customer_id", "c.id"),
            Assigned("group", 's."group"'),
            Assigned("value", "s.value"),
        ),
        assigned=(
            Assigned("expires_at", "s.expires_at", sent_as="expires_at", kept=kept),
            Assigned("is_removed", "FALSE"),
        ),
        customers=("customer_id",),
        changed_too=f"({is_exclusive} AND {others})",
    )


def tag_is_live(alias: str, *, now: datetime) -> str:
    """SQL: the tag is neither removed nor expired."""
    return (
        f"(NOT {alias}.is_removed AND ({alias}.expires_at IS NULL"
        f" OR {alias}.expires_at > {literal(now.isoformat())}::timestamptz))"
    )
