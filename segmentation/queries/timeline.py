"""What happened to one customer, of all kinds together, newest first."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Self

from django.db.models import Q, QuerySet

from segmentation.models import Customer, Event, Order, Referral, Refund

Kind = Literal["order", "refund", "event", "referral_made", "referral_received"]
KINDS: tuple[Kind, ...] = ("order", "refund", "event", "referral_made", "referral_received")
PAGE = 20
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where a happening stands: rising positions are going back in time."""

    age: int  # microseconds before 1970, so that what is newer comes first
    rank: int  # of its kind, for equal instants
    last: int  # the row's id, negative: of equals the one recorded last comes first

    @classmethod
    def read(cls, text: str) -> Self | None:
        """A position as `str` wrote it; None for anything else."""
        parts = text.split("_")
        try:
            age, rank, last = (int(part) for part in parts)
            found = cls(age, rank, last)
            return found if found.at and 0 <= rank < len(KINDS) else None
        except (ValueError, OverflowError):  # too many parts, no numbers, no time of any calendar
            return None

    def __str__(self) -> str:
        return f"{self.age}_{self.rank}_{self.last}"

    @property
    def at(self) -> datetime:
        return _EPOCH - self.age * _MICROSECOND


@dataclass(frozen=True, slots=True)
class Happening:
    """One fact of a customer; `row` is an Order, Refund, Event or Referral with what it needs."""

    kind: Kind
    at: datetime
    row: Any

    @property
    def position(self) -> Position:
        age = (_EPOCH - self.at) // _MICROSECOND
        return Position(age, KINDS.index(self.kind), -int(self.row.pk))


@dataclass(frozen=True, slots=True)
class TimelinePage:
    """Some happenings, newest first, and the position after which older ones follow."""

    happenings: tuple[Happening, ...]
    older: Position | None


def timeline(
    customer: Customer,
    *,
    kinds: Collection[Kind],
    after: Position | None = None,
    size: int = PAGE,
) -> TimelinePage:
    """The next `size` happenings of these kinds: one indexed query a kind, whatever their number.

    A happening that is recorded while somebody pages is neither skipped nor shown twice, unless
    its own time lies above what was already shown.
    """
    found: list[Happening] = []
    for kind in KINDS:
        if kind in kinds:
            found += _newest(kind, customer, after, size + 1)
    found.sort(key=lambda happening: happening.position)
    shown = tuple(found[:size])
    return TimelinePage(shown, shown[-1].position if len(found) > size else None)


def _newest(kind: Kind, customer: Customer, after: Position | None, most: int) -> list[Happening]:
    time, rows = _SOURCES[kind]
    selected = rows(customer)
    if after is not None:
        rank = KINDS.index(kind)
        older = Q(**{f"{time}__lt": after.at})
        if rank > after.rank:
            older |= Q(**{time: after.at})
        elif rank == after.rank:
            older |= Q(**{time: after.at}, pk__lt=-after.last)
        # The bare bound lets the index skip what is newer.
        selected = selected.filter(older, **{f"{time}__lte": after.at})
    return [
        Happening(kind, getattr(row, time), row)
        for row in selected.order_by(f"-{time}", "-pk")[:most]
    ]


def _orders(customer: Customer) -> QuerySet[Any]:
    return Order.objects.filter(customer=customer)


def _refunds(customer: Customer) -> QuerySet[Any]:
    return Refund.objects.filter(order__customer=customer).select_related("order")


def _events(customer: Customer) -> QuerySet[Any]:
    return Event.objects.filter(customer=customer)


def _made(customer: Customer) -> QuerySet[Any]:
    return Referral.objects.filter(referrer=customer).select_related("referee")


def _received(customer: Customer) -> QuerySet[Any]:
    return Referral.objects.filter(referee=customer).select_related("referrer")


_SOURCES: dict[Kind, tuple[str, Callable[[Customer], QuerySet[Any]]]] = {
    "order": ("placed_at", _orders),
    "refund": ("refunded_at", _refunds),
    "event": ("occurred_at", _events),
    "referral_made": ("occurred_at", _made),
    "referral_received": ("occurred_at", _received),
}
