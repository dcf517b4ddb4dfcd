"""Generated customers: a few facts each, at times where windows, days and months begin and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any as Anything
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from segmentation.domain.definitions import Catalog, FactMetric
from segmentation.domain.history import (
    Attributes,
    CustomerHistory,
    Event,
    HeldTier,
    Json,
    Order,
    OrderLine,
    Referral,
    Refund,
    Tag,
)
from segmentation.domain.windows import local_day, local_midnight, matured_end, resolve

Draw = Callable[[st.SearchStrategy[Anything]], Anything]

ZONES = (
    "America/New_York", "Asia/Shanghai", "Asia/Kathmandu", "Pacific/Kiritimati",
    "Pacific/Pago_Pago", "America/Sao_Paulo", "America/St_Johns",
)  # fmt: skip
CURRENCIES = {"JPY": 0, "CNY": 2, "KWD": 3}
TEXTS = ("a", "ab", "b", "A", "é", "")
# Both DST days of New York and of Sao Paulo (where midnight is missing or the hour before it
# happens twice) and the days after; the day that began twice in St. John's, with part of the day
# before in between; the day Kiritimati skipped; month ends and leap days.
INTERESTING_DAYS = tuple(
    date(*day)
    for day in (
        (2018, 3, 11), (2018, 3, 12), (2018, 11, 4), (2018, 11, 5), (2018, 2, 17), (2018, 2, 18),
        (2017, 10, 15), (2017, 10, 16), (1995, 1, 2), (2018, 1, 1), (2018, 3, 1), (2016, 2, 29),
        (2016, 3, 1), (2018, 3, 31), (2018, 5, 31), (2018, 12, 31), (2010, 11, 7), (2010, 11, 8),
    )
)  # fmt: skip
PROPERTIES = ("n", "N", "a/b")
LISTS = ("vip", "s0")  # a list may be called like a segment
_US = timedelta(microseconds=1)
_DAY = timedelta(days=1)

instant_steps = st.sampled_from(
    [timedelta(0), -_US, _US, timedelta(hours=12), timedelta(hours=1), _DAY - timedelta(seconds=1)]
)


@dataclass(frozen=True)
class World:
    """Customers (their position is their ordinal) and the tiers of program gold they hold."""

    people: tuple[CustomerHistory, ...]
    held: tuple[HeldTier | None, ...]


@st.composite
def as_ofs(draw: Draw, zone: ZoneInfo) -> tuple[datetime, ...]:
    """One or two instants near each other at the edge of a day."""
    first = local_midnight(draw(st.sampled_from(INTERESTING_DAYS)), zone) + draw(instant_steps)
    further = draw(st.lists(st.sampled_from([_US, timedelta(hours=1), _DAY]), max_size=1))
    found = [first]
    for step in further:
        found.append(found[-1] + step)
    return tuple(found)


def edges(catalog: Catalog, as_of: datetime, zone: ZoneInfo) -> list[datetime]:
    """Instants at which some verdict of the catalog may turn."""
    found = [as_of]
    for metric in catalog.metrics.values():
        if isinstance(metric, FactMetric):
            interval = resolve(metric.window, as_of=as_of, zone=zone)
            found += [interval.end] if interval.start is None else [interval.start, interval.end]
            if metric.matured_days is not None:
                found.append(matured_end(metric.matured_days, as_of=as_of, zone=zone))
    today = local_day(as_of, zone)
    found += [local_midnight(today - days * _DAY, zone) for days in (0, 1, 2, 3, 31)]
    return found


def money(decimals: int) -> st.SearchStrategy[Decimal]:
    """Amounts in whole smallest units."""
    units = st.one_of(
        st.sampled_from((0, 1, 2, 3, 100, 333, 1000)), st.integers(0, 10**6), st.just(10**12)
    )
    return units.map(lambda found: Decimal(found).scaleb(-decimals))


texts = st.sampled_from((None, *TEXTS))
flags = st.sampled_from((None, True, False))
_PROPERTY_VALUES: tuple[Json, ...] = (
    None, True, False, "", "a", "ab", "1", "1.0", "1.50", "-2.5", "0.1", "1e3", " 5", "12\n", "+1",
    ".5", "5.", "-0", "1,5", "３", "999999999999999999.999999999", "1234567890123456789",
    "0.1234567891", 0, 1, -3, 10**18, 123456789012345678, Decimal("1.50"), Decimal("0.00000001"),
    Decimal("123456789.123456789"), Decimal("0.3"), {"k": 1}, (1, "b", None),
)  # fmt: skip


@st.composite
def optional_fields(
    draw: Draw, choices: dict[str, st.SearchStrategy[Anything]]
) -> dict[str, Anything]:
    names = draw(st.lists(st.sampled_from(sorted(choices)), max_size=4, unique=True))
    return {name: draw(choices[name]) for name in names}


@dataclass(frozen=True)
class Pools:
    """Strategies that depend on the zone, the currency and the definitions."""

    times: st.SearchStrategy[datetime]
    turns: st.SearchStrategy[datetime]  # many are as-ofs: refunds and expiries turn there
    money: st.SearchStrategy[Decimal]
    order_fields: dict[str, st.SearchStrategy[Anything]]
    line_fields: dict[str, st.SearchStrategy[Anything]]


def pools(instants: Sequence[datetime], as_ofs: Sequence[datetime], decimals: int) -> Pools:
    steps = st.sampled_from((timedelta(0), timedelta(0), -_US, _US, timedelta(minutes=30)))
    times = st.builds(lambda at, step: at + step, st.sampled_from(sorted(set(instants))), steps)
    amount = money(decimals)
    maybe_time = st.one_of(st.none(), times)
    return Pools(
        times=times,
        turns=st.one_of(times, times, st.sampled_from(as_ofs)),
        money=amount,
        order_fields={
            **dict.fromkeys(("paid_at", "completed_at"), maybe_time),
            **dict.fromkeys(
                ("discount", "goods_amount", "shipping_amount", "stored_value_amount",
                 "points_amount"),
                st.one_of(st.none(), amount),
            ),
            **dict.fromkeys(
                ("channel", "store_id", "staff_id", "payer_ref", "recipient_ref"), texts
            ),
            "currency": st.sampled_from(("a", "b")),
            "is_promotion": flags,
            "status": st.sampled_from(("created", "paid", "shipped", "completed", "cancelled")),
        },
        line_fields={
            "category": texts,
            "quantity": st.sampled_from((None, Decimal(1), Decimal(2), Decimal("0.3333"))),
            "discount": st.one_of(st.none(), amount),
            "cost": st.one_of(st.none(), amount),
            "is_durable": flags,
            "qualifies": flags,
        },
    )  # fmt: skip


@st.composite
def orders(draw: Draw, pool: Pools) -> Order:
    lines = tuple(
        OrderLine(
            line_no,
            draw(st.sampled_from(("a", "b"))),
            draw(pool.money),
            **draw(optional_fields(pool.line_fields)),
        )
        for line_no in draw(st.sampled_from(((), (1,), (2, 1), (1, 2, 3))))
    )
    refunds = draw(
        st.lists(
            st.builds(Refund, pool.turns, pool.money, st.sampled_from((None, None, 1, 2, 9))),
            max_size=3,
        )
    )
    return Order(
        draw(pool.times),
        draw(pool.money),
        lines=lines,
        refunds=tuple(refund for refund in refunds if refund.amount > 0),
        **draw(optional_fields(pool.order_fields)),
    )


@st.composite
def events(draw: Draw, pool: Pools) -> Event:
    keys = draw(st.sampled_from(((), ("n",), ("n", "N"), ("a/b",), ("n", "a/b"))))
    return Event(
        draw(st.sampled_from(("a", "b"))),
        draw(pool.times),
        {key: draw(st.sampled_from(_PROPERTY_VALUES)) for key in keys},
    )


@st.composite
def tags(draw: Draw, pool: Pools) -> tuple[Tag, ...]:
    expiry = st.one_of(st.none(), pool.turns)
    found = []
    # Both where the group became exclusive after they were recorded.
    for city in draw(st.sampled_from(((), ("first",), ("second",), ("first", "second")))):
        found.append(Tag("city_tier", city, draw(expiry)))
    for value in draw(st.sampled_from(((), (), ("b",), ("c", "ab")))):
        found.append(Tag("likes", value, draw(expiry)))
    return tuple(found)


@st.composite
def attributes(draw: Draw, pool: Pools) -> Attributes:
    choices = {
        **dict.fromkeys(("gender", "city", "region", "channel", "home_store"), texts),
        **dict.fromkeys(("registered_at", "consent_at"), pool.times),
        "birth_date": st.sampled_from(INTERESTING_DAYS),
        "is_staff": flags,
        "consent_marketing": flags,
    }
    return Attributes(**draw(optional_fields(choices)))


@st.composite
def referrals(draw: Draw, referee: CustomerHistory, pool: Pools) -> Referral:
    """Half of them at the very instant of an order of the referee, where there is one."""
    bought = [order.placed_at for order in referee.orders]
    at = draw(st.one_of(pool.times, st.sampled_from(bought)) if bought else pool.times)
    return Referral(referee.external_id, at, referee.orders)


@st.composite
def worlds(
    draw: Draw, catalog: Catalog, zone: ZoneInfo, instants: Sequence[datetime], decimals: int
) -> World:
    """Two to five customers; each referral is of one of them."""
    near = [edge for as_of in instants for edge in edges(catalog, as_of, zone)]
    pool = pools(near, instants, decimals)
    names = [f"c{number}" for number in range(draw(st.integers(2, 5)))]
    keys = sorted(catalog.segments)
    some_keys = (
        st.sets(st.sampled_from(keys), max_size=1).map(frozenset)
        if keys
        else st.just(frozenset[str]())
    )
    people = []
    for name in names:
        people.append(
            CustomerHistory(
                external_id=name,
                attributes=draw(attributes(pool)),
                orders=tuple(draw(st.lists(orders(pool), max_size=3))),
                events=tuple(draw(st.lists(events(pool), max_size=3))),
                tags=draw(tags(pool)),
                included=draw(some_keys),
                excluded=draw(some_keys),
                objects=draw(st.sampled_from((False, False, True))),
                lists=draw(st.sets(st.sampled_from(LISTS), max_size=2).map(frozenset)),
            )
        )
    by_name = {person.external_id: person for person in people}
    people = [
        replace(
            person,
            referrals=tuple(
                draw(referrals(by_name[referee], pool))
                for referee in draw(st.lists(st.sampled_from(names), max_size=2))
            ),
        )
        for person in people
    ]
    tiers = (None, HeldTier("silver", 1), HeldTier("gold", 2), HeldTier("top", 3))
    held = tuple(draw(st.sampled_from(tiers)) for _ in people)
    return World(tuple(people), held)
