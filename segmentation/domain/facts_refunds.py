"""Which refunds of a file are more than what is left on their order or line.

Guarantee: refunds are taken in file order; one that is refused leaves what is left unchanged; a
refund that is sent again replaces its own earlier amount; one that does not grow is never refused,
so sending a file twice changes nothing. Amounts are in the order's own currency, so that parts
which add up to the whole are accepted whatever rounding the conversion made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class RefundClaim:
    """A refund as sent or as stored. `order` is the stored order's row id."""

    refund_id: str
    order: int
    line_no: int | None
    amount: Decimal


@dataclass(frozen=True, slots=True)
class OrderRoom:
    """What an order and its known lines can give back at most.

    `slack` is what one stored amount may be off by, because only its conversion was kept: 0 unless
    the smallest unit of the order's currency is worth less than that of the base currency.
    """

    amount: Decimal
    lines: Mapping[int, Decimal] = field(default_factory=dict)
    slack: Decimal = Decimal(0)


def over_refunds(
    claims: Iterable[tuple[int, RefundClaim]],
    *,
    orders: Mapping[int, OrderRoom],
    stored: Iterable[RefundClaim],
) -> list[int]:
    """The sequence numbers of the claims (given in file order) that are refused.

    `stored` holds the current refunds of `orders` and of every refund id among the claims. A claim
    on an order that is not in `orders` has been found to fit.
    """
    held: dict[str, RefundClaim] = {}
    of_order: defaultdict[int, dict[str, RefundClaim]] = defaultdict(dict)
    for claim in stored:
        held[claim.refund_id] = claim
        of_order[claim.order][claim.refund_id] = claim
    refused = []
    for sequence, claim in claims:
        current = held.get(claim.refund_id)
        room = orders.get(claim.order)
        if room is not None and not _grows_not(claim, current):
            others = [
                other for key, other in of_order[claim.order].items() if key != claim.refund_id
            ]
            if not _fits(claim, others, room):
                refused.append(sequence)
                continue
        if current is not None:
            del of_order[current.order][claim.refund_id]
        held[claim.refund_id] = claim
        of_order[claim.order][claim.refund_id] = claim
    return refused


def _grows_not(claim: RefundClaim, current: RefundClaim | None) -> bool:
    return (
        current is not None
        and (current.order, current.line_no) == (claim.order, claim.line_no)
        and claim.amount <= current.amount
    )


def _fits(claim: RefundClaim, others: list[RefundClaim], room: OrderRoom) -> bool:
    taken = sum((other.amount for other in others), claim.amount)
    if taken > room.amount + room.slack * (len(others) + 1):
        return False
    if claim.line_no is None or claim.line_no not in room.lines:
        return True
    beside = [other.amount for other in others if other.line_no == claim.line_no]
    return sum(beside, claim.amount) <= room.lines[claim.line_no] + room.slack * (len(beside) + 1)
