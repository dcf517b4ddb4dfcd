"""The oracle's metrics: plain loops over one customer's facts, exact fractions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from .definitions import FactMetric, FormulaMetric
from .evaluate_values import Field, matches, property_text, typed_field
from .history import CustomerHistory, Order, OrderLine, Referral
from .refunds import line_net_amounts, net_amount
from .windows import local_day, matured_end, resolve

# What a line reads from its order.
_FROM_ORDER = ("channel", "store_id", "status", "is_promotion")


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing with a time (None: in no window) and its fields as definitions write them."""

    at: datetime | None
    fields: Mapping[str, object]
    referral: Referral | None = None


def facts_of(
    history: CustomerHistory, metric: FactMetric, *, as_of: datetime, decimals: int
) -> tuple[Fact, ...]:
    """Every fact of the metric's source, before window and filter."""
    counted = [order for order in history.orders if order.counts]
    match metric.source:
        case "orders":
            return tuple(
                Fact(getattr(order, metric.time), _order_fields(order, as_of)) for order in counted
            )
        case "order_lines":
            return tuple(
                Fact(getattr(order, metric.time), line_fields)
                for order in counted
                for line_fields in _line_fields(order, as_of, decimals)
            )
        case "events":
            return tuple(
                Fact(
                    event.occurred_at,
                    {"name": event.name}
                    | {f"properties.{k}": property_text(v) for k, v in event.properties.items()},
                )
                for event in history.events
            )
        case "referrals":
            return tuple(Fact(referral.occurred_at, {}, referral) for referral in history.referrals)


def _order_fields(order: Order, as_of: datetime) -> Mapping[str, object]:
    own = {part.name: getattr(order, part.name) for part in fields(Order)}
    return own | {"net_amount": net_amount(order, as_of=as_of)}


def _line_fields(order: Order, as_of: datetime, decimals: int) -> Iterable[Mapping[str, object]]:
    net = line_net_amounts(order, as_of=as_of, decimals=decimals)
    from_order = {name: getattr(order, name) for name in _FROM_ORDER}
    for line in order.lines:
        own = {part.name: getattr(line, part.name) for part in fields(OrderLine)}
        yield own | from_order | {"net_amount": net[line.line_no]}


def counted_facts(
    history: CustomerHistory,
    metric: FactMetric,
    *,
    as_of: datetime,
    zone: ZoneInfo,
    decimals: int,
) -> tuple[Fact, ...]:
    """The facts that count: inside the window, matured, through the filter."""
    interval = resolve(metric.window, as_of=as_of, zone=zone)
    return tuple(
        fact
        for fact in facts_of(history, metric, as_of=as_of, decimals=decimals)
        if fact.at is not None
        and fact.at in interval
        and _is_matured(fact.at, metric.matured_days, as_of, zone)
        and (metric.filter is None or matches(metric.filter, fact.fields))
    )


def _is_matured(at: datetime, days: int | None, as_of: datetime, zone: ZoneInfo) -> bool:
    return days is None or at < matured_end(days, as_of=as_of, zone=zone)


def fact_metric(
    history: CustomerHistory,
    metric: FactMetric,
    *,
    as_of: datetime,
    zone: ZoneInfo,
    decimals: int,
) -> Fraction | None:
    """The exact value of a metric over facts, None when it is missing.

    `decimals` are the base currency's, for the refunds' parts of lines.
    """
    facts = counted_facts(history, metric, as_of=as_of, zone=zone, decimals=decimals)
    aggregate = metric.aggregate
    times = [fact.at for fact in facts if fact.at is not None]
    # Dates, not instants, are compared: a clock set back past midnight repeats part of a date.
    local_days = {local_day(at, zone) for at in times}
    today = local_day(as_of, zone)
    match aggregate.fn:
        case "count" if aggregate.converted_within_days is not None:
            return Fraction(
                len(_converted(facts, aggregate.converted_within_days, as_of=as_of, zone=zone))
            )
        case "count":
            return Fraction(len(facts))
        case "active_days":
            return Fraction(len(local_days))
        case "days_since_last":
            return Fraction((today - max(local_days)).days) if times else None
        case "days_since_first":
            return Fraction((today - min(local_days)).days) if times else None
        case "count_distinct":
            return Fraction(len(_distinct(facts, metric)))
        case "share":
            return _share(facts, metric)
        case "sum":
            return sum(_numbers(facts, metric), Fraction(0))
        case "avg":
            numbers = _numbers(facts, metric)
            return sum(numbers, Fraction(0)) / len(numbers) if numbers else None
        case "min":
            return min(_numbers(facts, metric), default=None)
        case "max":
            return max(_numbers(facts, metric), default=None)


def _numbers(facts: Iterable[Fact], metric: FactMetric) -> list[Fraction]:
    """The field of every fact that has it; 1 for each fact when no field is named."""
    field = metric.aggregate.field
    if field is None:
        return [Fraction(1) for _ in facts]
    values = (typed_field(fact.fields, field, metric.aggregate.type) for fact in facts)
    return [Fraction(value) for value in values if isinstance(value, Fraction)]


def _distinct(facts: Iterable[Fact], metric: FactMetric) -> set[Field]:
    field = metric.aggregate.field
    if field is None:
        raise ValueError(f"{metric.key} counts distinct values of no field")
    kind = metric.aggregate.type
    return {typed_field(fact.fields, field, kind) for fact in facts} - {None}


def _share(facts: tuple[Fact, ...], metric: FactMetric) -> Fraction | None:
    where = metric.aggregate.where
    chosen = [fact for fact in facts if where is None or matches(where, fact.fields)]
    whole = sum(_numbers(facts, metric), Fraction(0))
    return None if whole == 0 else sum(_numbers(chosen, metric), Fraction(0)) / whole


def _converted(
    facts: Iterable[Fact], days: int, *, as_of: datetime, zone: ZoneInfo
) -> frozenset[str]:
    """Referees whose first order ever with something left lies within the days of a referral."""
    referrals = (fact.referral for fact in facts if fact.referral is not None)
    return frozenset(
        referral.referee for referral in referrals if _is_converted(referral, days, as_of, zone)
    )


def _is_converted(referral: Referral, days: int, as_of: datetime, zone: ZoneInfo) -> bool:
    bought = [
        order.placed_at
        for order in referral.referee_orders
        if order.counts and order.placed_at < as_of and net_amount(order, as_of=as_of) > 0
    ]
    if not bought:
        return False
    first = min(bought)
    last_day = local_day(referral.occurred_at, zone) + timedelta(days=days)
    return first >= referral.occurred_at and local_day(first, zone) <= last_day


def formula_metric(
    formula: FormulaMetric, *, metric: Callable[[str], Fraction | None]
) -> Fraction | None:
    """The sum of the terms whose metric is present, each after `times` and at most its `cap`."""
    terms = [
        _term(value, times=term.times, cap=term.cap)
        for term in formula.terms
        if (value := metric(term.metric)) is not None
    ]
    return sum(terms, Fraction(0)) if terms else None


def _term(value: Fraction, *, times: Decimal, cap: Decimal | None) -> Fraction:
    product = value * Fraction(times)
    return product if cap is None else min(product, Fraction(cap))
