"""Metrics over facts: one grouped pass per source, distinct counts grouped by value first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_

import ibis
import ibis.expr.types as ir

from segmentation.domain.definitions import FactMetric, Source, TimeField

from .fields import fields_of
from .filters import filter_expression
from .parameters import Parameters
from .tables import compare_columns, fact_table, field_column, field_scale, integer

_PLAIN = ("sum", "count", "avg", "min", "max", "days_since_last", "days_since_first", "share")
# What nothing in the window means: a present 0 for these, missing for the rest.
ZERO_WHEN_EMPTY = ("sum", "count", "count_distinct", "active_days")


def numerator(key: str) -> str:
    """The column of a metric's value, or of its numerator."""
    return f"m:{key}"


def denominator(key: str) -> str:
    """The column of a fraction's denominator."""
    return f"d:{key}"


def scale_of(metric: FactMetric) -> int:
    """How many units of the numerator make one."""
    if metric.aggregate.fn in ("sum", "avg", "min", "max"):
        return field_scale(metric.source, metric.aggregate.field)
    return 1


@dataclass(frozen=True, slots=True)
class _Facts:
    """One source's facts, ready to be aggregated; `is_past`: none lies at or after the as-of."""

    table: ir.Table
    source: Source
    is_past: bool = False

    def time(self, field: TimeField) -> ir.Column:
        return self.table["occurred_at" if self.source in ("events", "referrals") else field]

    def day(self, field: TimeField) -> ir.Column:
        if self.source in ("events", "referrals"):
            return self.table["occurred_day"]
        return self.table[field.removesuffix("_at") + "_day"]


def metric_tables(
    metrics: Sequence[FactMetric], properties: Sequence[str], parameters: Parameters
) -> list[ir.Table]:
    """Tables of one row per `ordinal` with facts; together they hold every metric's columns."""
    tables: list[ir.Table] = []
    for source in ("orders", "order_lines", "events", "referrals"):
        chosen = [metric for metric in metrics if metric.source == source]
        if chosen:
            tables += _source_tables(source, chosen, properties, parameters)
    return tables


def _facts(source: Source, properties: Sequence[str], metrics: Sequence[FactMetric]) -> _Facts:
    """The facts these metrics are made of; refunds are joined only where one of them asks."""
    table = fact_table(source, properties)
    if not any("net_amount" in fields_of(metric) for metric in metrics):
        return _Facts(table, source)
    return _Facts(_with_net(table, source), source)


def _with_net(table: ir.Table, source: Source) -> ir.Table:
    """With `net_amount`, where the source has it."""
    if source == "orders":
        refunds = ibis.table({"order_id": "int64", "refunded": "int64"}, name="order_refunds")
        joined = table.left_join(refunds, table.id == refunds.order_id)
        return joined.mutate(net_amount=_net(joined))
    if source == "order_lines":
        refunds = ibis.table({"id": "int64", "refunded": "int64"}, name="line_refunds")
        joined = table.left_join(refunds, table.id == refunds.id, rname="refund_{name}")
        return joined.mutate(net_amount=_net(joined))
    return table


def _net(joined: ir.Table) -> ir.Value:
    left = joined.amount - joined.refunded.fill_null(0)
    return ibis.ifelse(left > 0, left, 0)


def _selected(facts: _Facts, metric: FactMetric, parameters: Parameters) -> ir.BooleanValue:
    """True for the facts in the metric's window that pass its filter."""
    time = facts.time(metric.time)
    tests: list[ir.BooleanValue] = []
    if not (facts.is_past and metric.window.reaches_as_of):
        tests.append(time < parameters.end(metric.window))
    if metric.window.kind != "all":
        tests.append(time >= parameters.start(metric.window))
    if metric.matured_days is not None:
        tests.append(time < parameters.matured(metric.matured_days))
    if metric.filter is not None:
        tests.append(filter_expression(facts.table, metric.source, metric.filter))
    return reduce(and_, tests) if tests else time.notnull()


def _source_tables(
    source: Source,
    metrics: Sequence[FactMetric],
    properties: Sequence[str],
    parameters: Parameters,
) -> Iterable[ir.Table]:
    """One pass for all that is summed, and one for each distinct count's column."""
    plain: list[FactMetric] = []
    distinct: dict[tuple[str, ...], list[FactMetric]] = {}
    for metric in metrics:
        aggregate = metric.aggregate
        if aggregate.converted_within_days is not None:
            yield _converted(_facts(source, properties, [metric]), metric, parameters)
        elif aggregate.fn in _PLAIN:
            plain.append(metric)
        elif aggregate.fn == "active_days":
            distinct.setdefault(("day", metric.time), []).append(metric)
        else:
            name = ("field", str(aggregate.field), str(aggregate.type))
            distinct.setdefault(name, []).append(metric)
    if plain:
        within = _within(_facts(source, properties, plain), plain, parameters)
        columns: dict[str, ir.Value] = {}
        for metric in plain:
            chosen = _selected(within, metric, parameters)
            columns.update(_plain(within, metric, chosen, parameters))
        yield within.table.group_by("ordinal").agg(**columns)
    for wanted in distinct.values():
        facts = _facts(source, properties, wanted)
        yield _distinct(_within(facts, wanted, parameters), wanted, parameters)


def _within(facts: _Facts, metrics: Sequence[FactMetric], parameters: Parameters) -> _Facts:
    """The facts from the start of the metrics' first window up to the as-of, which none passes.

    Others need not be read, and what holds for all is not asked again for each metric. A fact
    without the time is in no window anyway. Metrics of several times keep all facts.
    """
    times = {metric.time for metric in metrics}
    if len(times) > 1:
        return facts
    time = facts.time(times.pop())
    windows = [metric.window for metric in metrics]
    table = facts.table.filter(time < parameters.as_of())
    if all(window.kind != "all" for window in windows):
        table = table.filter(time >= parameters.earliest(windows))
    return _Facts(table, facts.source, is_past=True)


def _plain(
    facts: _Facts, metric: FactMetric, chosen: ir.BooleanValue, parameters: Parameters
) -> dict[str, ir.Value]:
    aggregate, key = metric.aggregate, metric.key
    if aggregate.fn == "count":
        return {numerator(key): facts.table.count(where=chosen)}
    if aggregate.fn == "days_since_last":
        last = facts.day(metric.time).max(where=chosen)
        return {numerator(key): parameters.today() - last.cast("int64")}
    if aggregate.fn == "days_since_first":
        first = facts.day(metric.time).min(where=chosen)
        return {numerator(key): parameters.today() - first.cast("int64")}
    column = field_column(facts.table, str(aggregate.field), aggregate.type)
    match aggregate.fn:
        case "sum":
            return {numerator(key): _narrow(column.sum(where=chosen), metric)}
        case "min":
            return {numerator(key): column.min(where=chosen)}
        case "max":
            return {numerator(key): column.max(where=chosen)}
        case "avg":
            counted = column.count(where=chosen)
            return {
                numerator(key): _narrow(column.sum(where=chosen), metric),
                denominator(key): counted.nullif(0),
            }
    part = chosen
    if aggregate.where is not None:
        part = chosen & filter_expression(facts.table, metric.source, aggregate.where)
    whole = _narrow(column.sum(where=chosen), metric)
    share = _narrow(column.sum(where=part), metric).fill_null(0)
    if metric.source == "events":  # numbers of events may be negative; a divisor may not
        share = ibis.ifelse(whole < 0, -share, share)
        whole = whole.abs()
    return {numerator(key): share, denominator(key): whole.nullif(0)}


def _narrow(total: ir.Value, metric: FactMetric) -> ir.Value:
    """Sums of 64-bit columns stay 64 bits wide (a larger one is an error, never a wrong figure)."""
    return total if metric.source == "events" else total.cast("int64")


def _distinct(facts: _Facts, wanted: Sequence[FactMetric], parameters: Parameters) -> ir.Table:
    """Group by customer and value first: a distinct count is then a sum of flags."""
    aggregate, time = wanted[0].aggregate, wanted[0].time
    if aggregate.fn == "active_days":
        column = facts.day(time)
    else:
        column = field_column(facts.table, str(aggregate.field), aggregate.type)
    known = facts.table.filter(column.notnull())
    if len(wanted) == 1:
        chosen = known.filter(_selected(facts, wanted[0], parameters))
        values = chosen.select("ordinal", value=column).distinct()
        return values.group_by("ordinal").agg(**{numerator(wanted[0].key): values.count()})
    flags = {numerator(metric.key): _selected(facts, metric, parameters).any() for metric in wanted}
    values = known.group_by("ordinal", value=column).agg(**flags)
    return values.group_by("ordinal").agg(
        **{name: values.count(where=values[name]) for name in flags}
    )


def _converted(facts: _Facts, metric: FactMetric, parameters: Parameters) -> ir.Table:
    """Distinct referees whose first order with something left to pay came in time."""
    orders = _with_net(fact_table("orders"), "orders")
    bought = orders.filter((orders.net_amount > 0) & (orders.placed_at < parameters.as_of()))
    first = bought.group_by(referee_ordinal=bought.ordinal).agg(
        first_at=bought.placed_at.min(),
        # Not the lowest day: a clock set back past midnight repeats part of the day before.
        first_day=bought.placed_day.argmin(bought.placed_at),
    )
    referrals = facts.table.filter(_selected(facts, metric, parameters))
    joined = referrals.inner_join(first, referrals.referee == first.referee_ordinal)
    within = int(metric.aggregate.converted_within_days or 0)
    in_time = (joined.first_at >= joined.occurred_at) & compare_columns(
        joined.first_day.cast("int64"),
        "lte",
        joined.occurred_day.cast("int64") + integer(within),
    )
    pairs = joined.filter(in_time).select("ordinal", "referee").distinct()
    return pairs.group_by("ordinal").agg(**{numerator(metric.key): pairs.count()})
