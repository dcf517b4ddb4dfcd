"""The kinds of facts and their columns, as files and the API bring them (contract, section 2).

Everything here is a table or a pure check: which columns a kind has, what type each cell is, which
of them a file must have, and which header is refused. How a cell becomes a value is
`facts_values.py`. The page for engineers is docs/facts.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import Problem

ColumnType = Literal[
    "id", "text", "time", "date", "money", "quantity", "rate", "whole", "boolean", "status",
    "currency", "json", "tags",
]  # fmt: skip

STATUSES = ("created", "paid", "shipped", "completed", "cancelled")
TAG_PREFIX = "tag:"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a kind. A required one must be in the file and filled in every row."""

    name: str
    type: ColumnType
    required: bool = False
    above_zero: bool = False


@dataclass(frozen=True, slots=True)
class FactKind:
    """A kind of fact: its name, the columns that identify a row, and all columns in order."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)


@dataclass(frozen=True, slots=True)
class ImportedGroup:
    """What a tag group allows to be recorded: `is_derived` groups come from rules alone."""

    key: str
    exclusive: bool
    values: frozenset[str]
    is_derived: bool = False


def _required(**types: ColumnType) -> tuple[Column, ...]:
    return tuple(Column(name, type_, required=True) for name, type_ in types.items())


def _optional(**types: ColumnType) -> tuple[Column, ...]:
    return tuple(Column(name, type_) for name, type_ in types.items())


_CUSTOMERS = FactKind(
    "customers",
    ("customer_id",),
    _required(customer_id="id")
    + _optional(
        registered_at="time",
        name="text",
        phone="text",
        email="text",
        gender="text",
        birth_date="date",
        city="text",
        region="text",
        channel="text",
        home_store="text",
        is_staff="boolean",
        consent_marketing="boolean",
        consent_at="time",
        unionid="text",
        external_userid="text",
    ),
)
_ORDERS = FactKind(
    "orders",
    ("order_id",),
    _required(order_id="id", customer_id="id", placed_at="time", amount="money")
    + _optional(
        discount="money",
        currency="currency",
        rate="rate",
        channel="text",
        is_promotion="boolean",
        status="status",
        paid_at="time",
        completed_at="time",
        store_id="text",
        staff_id="text",
        goods_amount="money",
        shipping_amount="money",
        stored_value_amount="money",
        points_amount="money",
        payer_ref="text",
        recipient_ref="text",
    ),
)
_ORDER_LINES = FactKind(
    "order_lines",
    ("order_id", "line_no"),
    _required(order_id="id", line_no="whole", sku="text", amount="money")
    + _optional(
        category="text",
        quantity="quantity",
        discount="money",
        cost="money",
        is_durable="boolean",
        qualifies="boolean",
    ),
)
_REFUNDS = FactKind(
    "refunds",
    ("refund_id",),
    (
        *_required(refund_id="id", order_id="id", refunded_at="time"),
        Column("amount", "money", required=True, above_zero=True),
        *_optional(line_no="whole"),
    ),
)
_EVENTS = FactKind(
    "events",
    ("event_id",),
    _required(event_id="id", customer_id="id", name="text", occurred_at="time")
    + _optional(properties="json"),
)
_REFERRALS = FactKind(
    "referrals",
    ("referral_id",),
    _required(referral_id="id", referrer_id="id", referee_id="id", occurred_at="time"),
)
_TAGS = FactKind(
    "tags",
    ("customer_id", "group", "value"),
    _required(customer_id="id", group="text", value="text") + _optional(expires_at="time"),
)

FACT_KINDS: Mapping[str, FactKind] = {
    kind.name: kind
    for kind in (_CUSTOMERS, _ORDERS, _ORDER_LINES, _REFUNDS, _EVENTS, _REFERRALS, _TAGS)
}

# Sentences of the reasons that only the stored facts can tell; the others come with the cell.
STORED_REASONS: Mapping[str, str] = {
    "unknown_customer": "No such customer, and strict imports create none.",
    "unknown_order": "No such order; import orders before their lines and refunds.",
    "over_refund": "More than what is left on the order or line after its other refunds.",
    "too_precise": "More decimals than the order's currency has.",
    "not_positive": "Less than half of the base currency's smallest unit: nothing to give back.",
    "out_of_range": "The amount in the base currency is too large to store.",
    "rate_missing": "Give the rate in base units for one unit of the row's currency.",
    "bad_rate": "A rate other than 1 needs a currency other than the base.",
}


def tag_group_of(column: str) -> str | None:
    """The group of a `tag:<group>` column, or None."""
    return column[len(TAG_PREFIX) :] if column.startswith(TAG_PREFIX) else None


def group_problem(group: str, *, groups: Mapping[str, ImportedGroup]) -> tuple[str, str] | None:
    """Why nothing may be recorded in this tag group, as code and sentence; None if it may."""
    known = groups.get(group)
    if known is None:
        return "unknown_group", f"There is no tag group {group!r}; define it first."
    if known.is_derived:
        return "derived_group", f"Tag group {group} comes from its rules and can't be imported."
    return None


def header_problems(
    header: Sequence[str], *, kind: FactKind, groups: Mapping[str, ImportedGroup]
) -> tuple[Problem, ...]:
    """Everything that refuses a file by its header: unknown, repeated and missing columns."""
    problems = []
    for name, times in Counter(header).items():
        path = f"/columns/{name.replace('~', '~0').replace('/', '~1')}"
        if times > 1:
            problems.append(
                Problem(path, "duplicate_column", f"Column {name} is there {times} times.")
            )
        refusal = column_problem(name, kind=kind, groups=groups)
        if refusal is not None:
            problems.append(Problem(path, *refusal))
    present = set(header)
    problems += [
        Problem(f"/columns/{column.name}", "missing_column", f"Column {column.name} is required.")
        for column in kind.columns
        if column.required and column.name not in present
    ]
    return tuple(problems)


def column_problem(
    name: str, *, kind: FactKind, groups: Mapping[str, ImportedGroup]
) -> tuple[str, str] | None:
    """Why a kind has no such column, as code and sentence; None if it has it."""
    if kind.column(name) is not None:
        return None
    group = tag_group_of(name)
    if kind.name == "customers" and group is not None:
        return group_problem(group, groups=groups)
    return "unknown_column", f"{kind.name} have no column {name!r}."
