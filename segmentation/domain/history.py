"""Everything recorded about one customer, as frozen data: what the oracle reads.

Amounts are Decimal in the base currency, times aware. Texts are as recorded; an empty one counts as
missing (contract, section 3). JSON numbers with a point are Decimal, never float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

Json = Mapping[str, "Json"] | tuple["Json", ...] | str | int | Decimal | bool | None

# Orders that count nowhere.
UNCOUNTED_STATUSES = frozenset({"created", "cancelled"})


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back on an order, or with `line_no` on one of its lines."""

    refunded_at: datetime
    amount: Decimal
    line_no: int | None = None


@dataclass(frozen=True, slots=True)
class OrderLine:
    line_no: int
    sku: str
    amount: Decimal
    category: str | None = None
    quantity: Decimal | None = None
    discount: Decimal | None = None
    cost: Decimal | None = None
    is_durable: bool | None = None
    qualifies: bool | None = None


@dataclass(frozen=True, slots=True)
class Order:
    placed_at: datetime
    amount: Decimal
    paid_at: datetime | None = None
    completed_at: datetime | None = None
    discount: Decimal | None = None
    goods_amount: Decimal | None = None
    shipping_amount: Decimal | None = None
    stored_value_amount: Decimal | None = None
    points_amount: Decimal | None = None
    currency: str = ""
    channel: str | None = None
    is_promotion: bool | None = None
    status: str = "completed"
    store_id: str | None = None
    staff_id: str | None = None
    payer_ref: str | None = None
    recipient_ref: str | None = None
    lines: tuple[OrderLine, ...] = ()
    refunds: tuple[Refund, ...] = ()

    @property
    def counts(self) -> bool:
        return self.status not in UNCOUNTED_STATUSES


@dataclass(frozen=True, slots=True)
class Event:
    name: str
    occurred_at: datetime
    properties: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Referral:
    """One referral this customer made; `referee_orders` are all orders of the referee."""

    referee: str  # external id
    occurred_at: datetime
    referee_orders: tuple[Order, ...] = ()


@dataclass(frozen=True, slots=True)
class Attributes:
    """The columns of a customer that rules may read, as last recorded."""

    registered_at: datetime | None = None
    gender: str | None = None
    birth_date: date | None = None
    city: str | None = None
    region: str | None = None
    channel: str | None = None
    home_store: str | None = None
    is_staff: bool | None = None
    consent_marketing: bool | None = None
    consent_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """One recorded tag; absent from the instant `expires_at` on."""

    group: str
    value: str
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CustomerHistory:
    """One customer. `included` and `excluded` are keys of segments set by hand, `lists` those of
    the customer lists he or she is on; `objects`: objects to personalised decisions."""

    external_id: str
    attributes: Attributes = Attributes()
    orders: tuple[Order, ...] = ()
    events: tuple[Event, ...] = ()
    referrals: tuple[Referral, ...] = ()
    tags: tuple[Tag, ...] = ()
    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()
    objects: bool = False
    lists: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class HeldTier:
    """A membership as it was before the run; `rank` is the tier's in the version in force."""

    tier: str
    rank: int
