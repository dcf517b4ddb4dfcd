"""Metrics of the oracle: docs/algorithms/rules-and-windows.md, cases by number."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from segmentation.domain.definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    FieldTest,
    FilterAll,
    FilterAny,
    FilterNot,
    FormulaMetric,
    FormulaTerm,
    Label,
    Window,
)
from segmentation.domain.evaluate import Oracle, Setting
from segmentation.domain.history import (
    CustomerHistory,
    Event,
    Order,
    OrderLine,
    Referral,
    Refund,
)

ZONE = ZoneInfo("Asia/Shanghai")
AS_OF = datetime(2018, 1, 1, 12, tzinfo=ZONE)
D = Decimal
NAME = Label("x", "x")
EVER = Window("all")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZONE)


def order(placed_at: str = "2017-12-01", amount: str = "100.00", **options: Any) -> Order:
    return Order(at(placed_at), D(amount), **options)


def value(
    history: CustomerHistory,
    *,
    source: str = "orders",
    aggregate: Aggregate,
    window: Window = EVER,
    **options: Any,
) -> Fraction | None:
    metric = FactMetric("m", NAME, source, aggregate, window, "count", **options)  # type: ignore[arg-type]
    catalog = Catalog(metrics={"m": metric})
    setting = Setting(catalog=catalog, as_of=AS_OF, zone=ZONE, currency="CNY")
    return Oracle(history, setting=setting).metric("m")


def of_orders(*orders: Order, aggregate: Aggregate, **options: Any) -> Fraction | None:
    return value(CustomerHistory("c", orders=orders), aggregate=aggregate, **options)


NET = {"field": "net_amount", "type": "money"}
PROMOTION = FieldTest("is_promotion", "boolean", "eq", True)


@pytest.mark.parametrize(
    ("aggregate", "of_nothing", "of_two"),
    [
        (Aggregate("sum", **NET), Fraction(0), Fraction(60)),
        (Aggregate("count"), Fraction(0), Fraction(2)),
        (Aggregate("count_distinct", field="channel", type="text"), Fraction(0), Fraction(1)),
        (Aggregate("active_days"), Fraction(0), Fraction(2)),
        (Aggregate("avg", **NET), None, Fraction(30)),
        (Aggregate("min", **NET), None, Fraction(0)),
        (Aggregate("max", **NET), None, Fraction(60)),
        (Aggregate("days_since_last"), None, Fraction(22)),
        (Aggregate("days_since_first"), None, Fraction(31)),
        (Aggregate("share", **NET, where=PROMOTION), None, Fraction(1)),
    ],
)
def test_each_aggregate(aggregate: Aggregate, of_nothing: object, of_two: Fraction) -> None:
    """M01 to M10: of nothing, and of two orders of which one is fully refunded: it is 0 in avg, min
    and max and counts in count, active_days, days_since."""
    assert of_orders(aggregate=aggregate) == of_nothing
    refunded = order(
        "2017-12-01", "40.00", channel="app", refunds=(Refund(at("2017-12-02"), D("40.00")),)
    )
    kept = order("2017-12-10 23:59:59", "60.00", channel="app", is_promotion=True)
    assert of_orders(refunded, kept, aggregate=aggregate) == of_two


@pytest.mark.parametrize("status", ["created", "cancelled"])
def test_uncounted_orders(status: str) -> None:
    """M11 to M13: created and cancelled orders, and their lines, count nowhere."""
    gone = order(status=status, lines=(OrderLine(1, "a", D("100.00")),))
    assert of_orders(gone, aggregate=Aggregate("count")) == 0
    assert of_orders(gone, aggregate=Aggregate("count"), source="order_lines") == 0
    for counted in ("paid", "shipped", "completed"):
        assert of_orders(order(status=counted), aggregate=Aggregate("count")) == 1


def test_a_refund_counts_on_the_day_of_its_order() -> None:
    """M14, M15: an order in the window, refunded after it; a refund at the as-of is still ahead."""
    aggregate = Aggregate("sum", **NET)
    window = Window("calendar", calendar="month", offset=-1)
    late = order(refunds=(Refund(at("2018-01-01 11:59"), D("30.00")), Refund(AS_OF, D("9.00"))))
    assert of_orders(late, aggregate=aggregate, window=window) == 70
    before = order("2017-11-30", refunds=(Refund(at("2017-12-05"), D("30.00")),))
    assert of_orders(before, aggregate=aggregate, window=window) == 0


@pytest.mark.parametrize(
    ("time", "days"), [("placed_at", 31), ("paid_at", 30), ("completed_at", None)]
)
def test_time_field(time: str, days: int | None) -> None:
    """M16 to M18: a fact without that time is in no window; lines have their order's time."""
    bought = order(paid_at=at("2017-12-02"), lines=(OrderLine(1, "a", D("100.00")),))
    for source in ("orders", "order_lines"):
        found = of_orders(bought, aggregate=Aggregate("days_since_last"), time=time, source=source)
        assert found == days
    count = of_orders(bought, aggregate=Aggregate("count"), time=time)
    assert count == (0 if days is None else 1)


def test_matured_days() -> None:
    """M19, M20: local date + 7 <= the as-of day."""
    aggregate = Aggregate("count")
    for placed, counted in [("2017-12-25 23:59:59", 1), ("2017-12-26 00:00", 0)]:
        assert of_orders(order(placed), aggregate=aggregate, matured_days=7) == counted


def test_nothing_from_the_as_of_on() -> None:
    """M21, M22: the as-of instant itself is outside, one microsecond before is inside."""
    tick = timedelta(microseconds=1)
    for instant, counted in [(AS_OF - tick, 1), (AS_OF, 0), (AS_OF + tick, 0)]:
        found = of_orders(Order(instant, D(1)), aggregate=Aggregate("count"))
        assert found == counted


@pytest.mark.parametrize(
    ("test", "counted"),
    [
        (FieldTest("channel", "text", "in", ("app", "web")), 1),
        (FieldTest("channel", "text", "not_in", ("web",)), 1),
        (FieldTest("channel", "text", "ne", "app"), 0),
        (FieldTest("channel", "text", "is_set", None), 1),
        (FieldTest("channel", "text", "is_not_set", None), 2),
        (FilterNot(FieldTest("channel", "text", "eq", "app")), 2),
        (FieldTest("discount", "money", "gte", D(5)), 1),
        (FieldTest("discount", "money", "lt", D(5)), 0),
        (FieldTest("net_amount", "money", "between", (D(1), D(100))), 3),
        (FieldTest("is_promotion", "boolean", "eq", False), 2),
        (FieldTest("is_promotion", "boolean", "ne", False), 1),
        (FilterAll(()), 3),
        (FilterAny(()), 0),
        (FilterAny((PROMOTION, FieldTest("channel", "text", "contains", "p"))), 2),
        (FilterAll((PROMOTION, FieldTest("channel", "text", "contains", "p"))), 0),
    ],
)
def test_filters(test: Any, counted: int) -> None:
    """M23 to M26: a missing field never matches, except is_not_set; a missing boolean is false;
    empty text is missing."""
    orders = (
        order(channel="app", discount=D(5)),
        order(channel="", is_promotion=False),
        order(is_promotion=True),
    )
    assert of_orders(*orders, aggregate=Aggregate("count"), filter=test) == counted


def test_missing_numbers_are_left_out() -> None:
    """M27 to M29: sum, avg, min and max see only facts that have the field."""
    orders = (order(discount=D(6)), order(), order(discount=D(3)))
    expected = {"sum": 9, "avg": Fraction(9, 2), "min": 3, "max": 6}
    for fn, result in expected.items():
        aggregate = Aggregate(fn, field="discount", type="money")  # type: ignore[arg-type]
        assert of_orders(*orders, aggregate=aggregate) == result
    none = Aggregate("avg", field="points_amount", type="money")
    assert of_orders(*orders, aggregate=none) is None


def test_share() -> None:
    """M30, M31: exact; missing when the divisor is 0."""
    aggregate = Aggregate("share", **NET, where=PROMOTION)
    orders = (order(is_promotion=True), order(), order())
    assert of_orders(*orders, aggregate=aggregate) == Fraction(1, 3)
    assert of_orders(order(amount="0.00", is_promotion=True), aggregate=aggregate) is None
    assert of_orders(order(), aggregate=aggregate) == 0


def test_lines_read_their_order_and_their_part_of_refunds() -> None:
    """M32."""
    lines = (
        OrderLine(1, "shoe", D("30.00"), category="shoes"),
        OrderLine(2, "bag", D("70.00"), category="bags", quantity=D(3)),
    )
    bought = order(channel="app", lines=lines, refunds=(Refund(at("2017-12-02"), D("10.00")),))
    shoes = FieldTest("category", "text", "eq", "shoes")
    in_app = FieldTest("channel", "text", "eq", "app")
    total = of_orders(
        bought,
        source="order_lines",
        aggregate=Aggregate("sum", **NET),
        filter=FilterAll((shoes, in_app)),
    )
    assert total == 27
    skus = Aggregate("count_distinct", field="sku", type="text")
    assert of_orders(bought, bought, source="order_lines", aggregate=skus) == 2
    quantity = Aggregate("sum", field="quantity", type="number")
    assert of_orders(bought, source="order_lines", aggregate=quantity) == 3


@pytest.mark.parametrize(
    ("stored", "text", "number"),
    [
        ("12.5", "12.5", Fraction(25, 2)),
        (D("12.5"), "12.5", Fraction(25, 2)),
        (D("1.50"), "1.50", Fraction(3, 2)),
        (1, "1", Fraction(1)),
        (-3, "-3", Fraction(-3)),
        (True, "true", None),
        (False, "false", None),
        ("abc", "abc", None),
        ("1e3", "1e3", None),
        (" 1", " 1", None),
        ("1.", "1.", None),
        ("١", "١", None),
        ("NaN", "NaN", None),
        ("1\n", "1\n", None),
        ("1.0123456789", "1.0123456789", None),  # more digits than the engine has
        ("1.012345678", "1.012345678", Fraction("1.012345678")),
        ("", None, None),
        (None, None, None),
        ({"a": (1, "x", None)}, '{"a":[1,"x",null]}', None),
    ],
)
def test_event_properties(stored: Any, text: str | None, number: Fraction | None) -> None:
    """M35 to M39: text unless the metric says number; what is no decimal number is then missing."""
    history = CustomerHistory("c", events=(Event("e", at("2017-12-01"), {"p": stored}),))

    def counted(test: FieldTest) -> Fraction | None:
        return value(history, source="events", aggregate=Aggregate("count"), filter=test)

    if text is None:
        assert counted(FieldTest("properties.p", "text", "is_not_set", None)) == 1
    else:
        assert counted(FieldTest("properties.p", "text", "eq", text)) == 1
    maximum = Aggregate("max", field="properties.p", type="number")
    assert value(history, source="events", aggregate=maximum) == number
    assert counted(FieldTest("properties.other", "text", "is_set", None)) == 0


def test_active_days_are_local_dates() -> None:
    """M33, M34: 15:59 and 16:00 UTC are two dates in Shanghai."""
    events = tuple(
        Event("e", datetime(2017, 12, 1, *time, tzinfo=UTC))
        for time in ((1, 0), (15, 59), (16, 0), (23, 0))
    )
    history = CustomerHistory("c", events=events)
    assert value(history, source="events", aggregate=Aggregate("active_days")) == 2
    # 2 December in Shanghai to 1 January.
    assert value(history, source="events", aggregate=Aggregate("days_since_last")) == 30


def referred(*orders: Order, occurred_at: str = "2017-11-01 15:00", referee: str = "r") -> Referral:
    return Referral(referee, at(occurred_at), orders)


BUYERS = Aggregate("count", converted_within_days=30)


@pytest.mark.parametrize(
    ("orders", "buyers"),
    [
        ((), 0),
        ((order("2017-11-01 15:00"),), 1),  # at the referral
        ((order("2017-11-01 14:59:59"),), 0),  # a buyer before
        ((order("2017-12-01 23:59:59"),), 1),  # the end of the 30th local day after
        ((order("2017-12-02 00:00"),), 0),
        ((order("2017-10-01"), order("2017-11-05")), 0),  # not the first ever
        ((order("2017-10-01", "0.00"), order("2017-11-05")), 1),  # 0 is no purchase
        (
            (
                order("2017-10-01", refunds=(Refund(at("2017-12-31"), D("100.00")),)),
                order("2017-11-05"),
            ),
            1,  # fully refunded: no purchase
        ),
        ((order("2017-10-01", status="cancelled"), order("2017-11-05")), 1),
        ((order("2017-11-05", refunds=(Refund(AS_OF, D("100.00")),)),), 1),
    ],
)
def test_converted_referees(orders: tuple[Order, ...], buyers: int) -> None:
    """M41 to M46."""
    history = CustomerHistory("c", referrals=(referred(*orders),))
    assert value(history, source="referrals", aggregate=BUYERS) == buyers
    assert value(history, source="referrals", aggregate=Aggregate("count")) == 1


def test_referees_are_counted_once_and_only_inside_the_window() -> None:
    """M47: distinct referees; an order from the as-of on has not happened."""
    good = order("2017-12-20")
    twice = (
        referred(good, occurred_at="2017-12-01"),
        referred(good, occurred_at="2017-12-10"),
        referred(good, occurred_at="2017-12-10", referee="s"),
        referred(Order(AS_OF, D(1)), occurred_at="2017-12-31", referee="t"),
    )
    history = CustomerHistory("c", referrals=twice)
    assert value(history, source="referrals", aggregate=BUYERS) == 2
    last_ten = Window("days", 10)
    assert value(history, source="referrals", aggregate=BUYERS, window=last_ten) == 0


@pytest.mark.parametrize(
    ("visits", "amounts", "expected"),
    [
        (0, (), None),  # the average is missing; nothing else is there
        (0, ("10",), Fraction(10)),
        (3, ("10",), Fraction(70)),
        (300, ("10",), Fraction(510)),  # 6000 capped at 500
        (0, ("10", "0", "0"), Fraction(10, 3)),
    ],
)
def test_formula(visits: int, amounts: tuple[str, ...], expected: Fraction | None) -> None:
    """M51 to M58: a missing term adds nothing, all missing is missing, cap after times, exact."""
    avg = FactMetric(
        "avg",
        NAME,
        "orders",
        Aggregate("avg", field="amount", type="money"),
        Window("all"),
        "money",
    )
    latest = FactMetric(
        "latest",
        NAME,
        "events",
        Aggregate("max", field="properties.n", type="number"),
        Window("all"),
        "count",
    )
    formula = FormulaMetric(
        "f", NAME, "count", (FormulaTerm("avg", D(1)), FormulaTerm("latest", D(20), D(500)))
    )
    history = CustomerHistory(
        "c",
        orders=tuple(order(amount=amount) for amount in amounts),
        events=(Event("e", at("2017-12-01"), {"n": visits}),) if visits else (),
    )
    catalog = Catalog(metrics={"avg": avg, "latest": latest, "f": formula})
    setting = Setting(catalog=catalog, as_of=AS_OF, zone=ZONE, currency="CNY")
    assert Oracle(history, setting=setting).metric("f") == expected
