"""Net amounts and the lines' parts of refunds: docs/algorithms/refunds.md, cases by number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from segmentation.domain.history import Order, OrderLine, Refund
from segmentation.domain.refunds import allocate, line_net_amounts, net_amount

AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
BEFORE = AS_OF - timedelta(microseconds=1)
D = Decimal


def order(
    amount: str,
    *,
    lines: tuple[tuple[int, str], ...] = (),
    refunds: tuple[tuple[str, int | None], ...] = (),
    refunded_at: datetime = BEFORE,
) -> Order:
    return Order(
        placed_at=datetime(2017, 12, 1, tzinfo=UTC),
        amount=D(amount),
        lines=tuple(OrderLine(line_no, "sku", D(paid)) for line_no, paid in lines),
        refunds=tuple(Refund(refunded_at, D(paid), line_no) for paid, line_no in refunds),
    )


@pytest.mark.parametrize(
    ("refunds", "left"),
    [
        ((), "100.00"),
        ((("30.00", None),), "70.00"),
        ((("30.00", None), ("20.00", 1)), "50.00"),
        ((("100.00", None),), "0"),
        ((("90.00", None), ("20.00", 1)), "0"),
    ],
)
def test_net_amount(refunds: tuple[tuple[str, int | None], ...], left: str) -> None:
    """Case 1: all refunds, with and without line, never below 0."""
    assert net_amount(order("100.00", refunds=refunds), as_of=AS_OF) == D(left)


def test_only_refunds_before_the_as_of() -> None:
    """Case 2: a refund at the as-of instant has not happened yet."""
    refunds = (("30.00", None), ("20.00", 1))
    now = order("100.00", lines=((1, "100.00"),), refunds=refunds, refunded_at=AS_OF)
    assert net_amount(now, as_of=AS_OF) == D("100.00")
    assert line_net_amounts(now, as_of=AS_OF, decimals=2) == {1: D("100.00")}
    assert net_amount(now, as_of=AS_OF + timedelta(microseconds=1)) == D("50.00")


@pytest.mark.parametrize(
    ("lines", "refunds", "decimals", "left"),
    [
        # Case 3: in proportion.
        (((1, "30.00"), (2, "70.00")), (("10.00", None),), 2, ("27.00", "63.00")),
        # Case 4: largest remainder: 0.01 over three equal lines goes to the lowest line_no.
        (((1, "1.00"), (2, "1.00"), (3, "1.00")), (("0.01", None),), 2, ("0.99", "1.00", "1.00")),
        (((7, "1.00"), (2, "1.00"), (5, "1.00")), (("0.02", None),), 2, ("0.99", "0.99", "1.00")),
        # 10 over 1:2:4 is 1.43, 2.86, 5.71: the remainders .86 and .71 get the two units left.
        (((1, "1"), (2, "2"), (3, "4")), (("1", None),), 0, ("1", "2", "3")),
        (((1, "10"), (2, "20"), (3, "40")), (("10", None),), 0, ("9", "17", "34")),
        # Case 5: several refunds without line are summed first (twice 0.01 would hit line 1).
        (((1, "1.00"), (2, "1.00")), (("0.01", None), ("0.01", None)), 2, ("0.99", "0.99")),
        # Case 6: in proportion to what line refunds left.
        (((1, "50.00"), (2, "50.00")), (("50.00", 1), ("10.00", None)), 2, ("0.00", "40.00")),
        (((1, "60.00"), (2, "50.00")), (("10.00", 1), ("10.00", None)), 2, ("45.00", "45.00")),
        # Case 7: never more than the lines have left; line refunds never below 0.
        (((1, "50.00"), (2, "30.00")), (("90.00", None),), 2, ("0.00", "0.00")),
        (((1, "50.00"), (2, "30.00")), (("60.00", 1), ("3.00", None)), 2, ("0.00", "27.00")),
        # Case 8: a refund of a line the order does not have concerns no line.
        (((1, "50.00"),), (("20.00", 9),), 2, ("50.00",)),
        # Case 9: smallest units of currencies with 0 and 3 decimals (R14).
        (((1, "100"), (2, "100"), (3, "100")), (("100", None),), 0, ("66", "67", "67")),
        (((1, "1.000"), (2, "1.000")), (("0.001", None),), 3, ("0.999", "1.000")),
        # Case 10: lines of 0 get nothing; nothing left anywhere.
        (((1, "0.00"), (2, "5.00")), (("5.00", None),), 2, ("0.00", "0.00")),
        (((1, "0.00"),), (("5.00", None),), 2, ("0.00",)),
    ],
)
def test_lines_part(
    lines: tuple[tuple[int, str], ...],
    refunds: tuple[tuple[str, int | None], ...],
    decimals: int,
    left: tuple[str, ...],
) -> None:
    """Cases 3 to 10; results in order of line_no."""
    found = line_net_amounts(
        order("200", lines=lines, refunds=refunds), as_of=AS_OF, decimals=decimals
    )
    assert list(found) == sorted(line_no for line_no, _ in lines)
    assert tuple(found.values()) == tuple(D(text) for text in left)


def test_parts_add_up_and_stay_within_their_weight() -> None:
    weights = {1: 3, 2: 333, 3: 0, 4: 7919}
    for units in range(0, sum(weights.values()) + 2, 13):
        parts = allocate(units, weights)
        assert sum(parts.values()) == min(units, sum(weights.values()))
        assert all(0 <= parts[key] <= weights[key] for key in weights)


def test_an_amount_below_the_smallest_unit_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 2 decimals"):
        line_net_amounts(order("1.00", lines=((1, "0.005"),)), as_of=AS_OF, decimals=2)
