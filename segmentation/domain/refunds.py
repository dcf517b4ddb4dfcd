"""What is left of orders and lines after their refunds.

Guarantee: a net amount never lies below 0 or above the amount; the parts of a refund that lines
get add up to the refund, as far as the lines have anything left. Only refunds with `refunded_at`
before the as-of exist. Cases: docs/algorithms/refunds.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from .history import Order, Refund

_ZERO = Decimal(0)


def net_amount(order: Order, *, as_of: datetime) -> Decimal:
    """The order's amount minus all its refunds, with or without line, never below 0."""
    refunded = sum((refund.amount for refund in _refunds(order, as_of)), _ZERO)
    return max(_ZERO, order.amount - refunded)


def line_net_amounts(order: Order, *, as_of: datetime, decimals: int) -> Mapping[int, Decimal]:
    """Each line's amount minus its own refunds and its part of the order's, by `line_no`.

    `decimals` are the base currency's: parts are whole smallest units. ValueError if an amount has
    more decimals than that.
    """
    refunds = _refunds(order, as_of)
    left = {line.line_no: _units(line.amount, decimals) for line in order.lines}
    unassigned = 0
    for refund in refunds:
        if refund.line_no is None:
            unassigned += _units(refund.amount, decimals)
        elif refund.line_no in left:
            left[refund.line_no] -= _units(refund.amount, decimals)
    left = {line_no: max(0, units) for line_no, units in left.items()}
    parts = allocate(unassigned, left)
    return {
        line_no: Decimal(left[line_no] - parts[line_no]).scaleb(-decimals)
        for line_no in sorted(left)
    }


def allocate(units: int, weights: Mapping[int, int]) -> Mapping[int, int]:
    """Split `units` in proportion to `weights`, at most their sum, by the largest remainder.

    Every part is at most its weight; equal remainders go to the lower key first.
    """
    total = sum(weights.values())
    units = min(units, total)
    if units == 0:
        return dict.fromkeys(weights, 0)
    parts = {key: units * weight // total for key, weight in weights.items()}
    missing = units - sum(parts.values())
    by_remainder = sorted(weights, key=lambda key: (-(units * weights[key] % total), key))
    for key in by_remainder[:missing]:
        parts[key] += 1
    return parts


def _refunds(order: Order, as_of: datetime) -> tuple[Refund, ...]:
    return tuple(refund for refund in order.refunds if refund.refunded_at < as_of)


def _units(amount: Decimal, decimals: int) -> int:
    scaled = amount.scaleb(decimals)
    units = int(scaled)
    if units != scaled:
        raise ValueError(f"{amount} has more than {decimals} decimals")
    return units
