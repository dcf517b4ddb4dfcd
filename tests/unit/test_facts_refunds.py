from __future__ import annotations

from decimal import Decimal

import pytest

from segmentation.domain.facts_refunds import OrderRoom, RefundClaim, over_refunds

ORDER = {1: OrderRoom(Decimal(10), {1: Decimal(4)}), 2: OrderRoom(Decimal(5))}


def claim(key: str, amount: str, *, order: int = 1, line: int | None = None) -> RefundClaim:
    return RefundClaim(key, order, line, Decimal(amount))


@pytest.mark.parametrize(
    ("stored", "claims", "refused"),
    [
        ([], [claim("a", "10")], []),
        ([], [claim("a", "10.01")], [0]),
        ([], [claim("a", "6"), claim("b", "5"), claim("c", "4")], [1]),
        ([claim("z", "6")], [claim("a", "5"), claim("b", "4")], [0]),
        ([claim("a", "6")], [claim("a", "10"), claim("b", "1")], [1]),
        ([claim("a", "12")], [claim("a", "12"), claim("a", "11"), claim("a", "11.5")], [2]),
        ([], [claim("a", "4", line=1), claim("b", "0.01", line=1), claim("c", "6")], [1]),
        ([], [claim("a", "10", line=2)], []),
        ([claim("a", "4")], [claim("a", "4", line=1), claim("b", "1", line=1)], [1]),
        ([claim("a", "9")], [claim("b", "2"), claim("a", "5", order=2), claim("b", "2")], [0]),
        ([], [claim("a", "99", order=3), claim("a", "11"), claim("b", "10")], [1]),
        ([claim("a", "8")], [claim("a", "1", order=3), claim("b", "10")], []),
    ],
)
def test_in_file_order(
    stored: list[RefundClaim], claims: list[RefundClaim], refused: list[int]
) -> None:
    """R08: what is refused takes nothing from what is left."""
    assert over_refunds(enumerate(claims), orders=ORDER, stored=stored) == refused


def test_slack_of_an_inexact_currency() -> None:
    orders = {1: OrderRoom(Decimal(1000), slack=Decimal(1))}
    claims = [claim("a", "500"), claim("b", "502"), claim("c", "2")]
    assert over_refunds(enumerate(claims), orders=orders, stored=[]) == [2]
