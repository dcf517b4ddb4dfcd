"""Metrics, windows, filters and layerings in a definitions document."""

from __future__ import annotations

from decimal import Decimal

import pytest

from membership.domain.documents import Source, read_sources
from segmentation.domain.definitions import (
    Aggregate,
    FactMetric,
    FieldTest,
    FilterAll,
    FormulaMetric,
    FormulaTerm,
    Layering,
    Window,
)
from segmentation.domain.dependencies import Ref

from .reading_cases import ZONE, codes, metric, warnings

M = "/metrics/0"
ORDERS = "source: orders, unit: count, aggregate: {fn: count}"


def read_metric(fields: str) -> FactMetric | FormulaMetric:
    assert codes(metric(fields)) == []
    reading = read_sources([Source("", metric(fields))], project_zone=ZONE)
    definition = reading.patch[Ref("metric", "m")].definition
    assert isinstance(definition, FactMetric | FormulaMetric)
    return definition


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("{days: 1}", Window("days", 1)),
        ("{days: 30, to_now: true}", Window("days", 30, to_now=True)),
        ("{months: 12, to_now: false}", Window("months", 12)),
        ("{hours: 36}", Window("hours", 36)),
        ("{calendar: quarter}", Window("calendar", calendar="quarter")),
        ("{calendar: month, offset: -2}", Window("calendar", calendar="month", offset=-2)),
        ("{all: true}", Window("all")),
    ],
)
def test_reads_windows(window: str, expected: Window) -> None:
    assert read_metric(f"{ORDERS}, window: {window}").window == expected  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("window", "path", "code"),
    [
        ("{days: 0}", "/days", "out_of_range"),
        ("{days: -3}", "/days", "out_of_range"),
        ("{days: 2.5}", "/days", "wrong_type"),
        ('{days: "30"}', "/days", "wrong_type"),
        ("{days: 99999999999999999999}", "/days", "out_of_range"),
        ("{hours: 0}", "/hours", "out_of_range"),
        ("{months: 0}", "/months", "out_of_range"),
        ("{hours: 3, to_now: true}", "/to_now", "unknown_key"),
        ("{all: true, to_now: true}", "/to_now", "unknown_key"),
        ("{calendar: year, to_now: true}", "/to_now", "unknown_key"),
        ("{calendar: week}", "/calendar", "unknown_value"),
        ("{calendar: year, offset: 1}", "/offset", "out_of_range"),
        ("{calendar: year, offset: -101}", "/offset", "out_of_range"),
        ("{days: 3, offset: -1}", "/offset", "unknown_key"),
        ("{days: 3, months: 1}", "", "wrong_type"),
        ("{all: false}", "/all", "unknown_value"),
        ("{}", "", "wrong_type"),
        ("{weeks: 2}", "/weeks", "unknown_key"),
        ("30", "", "wrong_type"),
    ],
)
def test_refuses_windows(window: str, path: str, code: str) -> None:
    assert (f"{M}/window{path}", code) in codes(metric(f"{ORDERS}, window: {window}"))


@pytest.mark.parametrize(
    ("fields", "aggregate"),
    [
        ("source: orders, unit: money, aggregate: {fn: sum, field: net_amount}",
         Aggregate("sum", "net_amount", "money")),
        ("source: orders, unit: count, aggregate: {fn: count_distinct, field: store_id}",
         Aggregate("count_distinct", "store_id", "text")),
        ("source: orders, unit: count, aggregate: {fn: active_days}", Aggregate("active_days")),
        ("source: orders, unit: days, aggregate: {fn: days_since_first}",
         Aggregate("days_since_first")),
        ("source: order_lines, unit: count, aggregate: {fn: avg, field: quantity}",
         Aggregate("avg", "quantity", "number")),
        ("source: events, unit: count, type: number, "
         "aggregate: {fn: sum, field: properties.minutes}",
         Aggregate("sum", "properties.minutes", "number")),
        ("source: events, unit: count, aggregate: {fn: max, field: properties.a b, type: number}",
         Aggregate("max", "properties.a b", "number")),
        ("source: events, unit: count, aggregate: {fn: count_distinct, field: properties.page}",
         Aggregate("count_distinct", "properties.page", "text")),
        ("source: referrals, unit: count, aggregate: {fn: count, converted_within_days: 0}",
         Aggregate("count", converted_within_days=0)),
    ],
)  # fmt: skip
def test_reads_aggregates(fields: str, aggregate: Aggregate) -> None:
    assert read_metric(f"{fields}, window: {{all: true}}").aggregate == aggregate  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "path", "code"),
    [
        ("source: orders, aggregate: {fn: total}", "/aggregate/fn", "unknown_value"),
        ("source: orders, aggregate: {fn: sum}", "/aggregate", "missing_key"),
        ("source: orders, aggregate: {fn: sum, field: channel}", "/aggregate/field", "wrong_type"),
        ("source: orders, aggregate: {fn: sum, field: quantity}", "/aggregate/field",
         "unknown_field"),
        ("source: orders, aggregate: {fn: avg, field: is_promotion}", "/aggregate/field",
         "wrong_type"),
        ("source: events, aggregate: {fn: sum, field: properties.minutes}", "/aggregate/field",
         "wrong_type"),
        ("source: events, aggregate: {fn: sum, field: properties.}", "/aggregate/field",
         "unknown_field"),
        ("source: orders, aggregate: {fn: count, field: amount}", "/aggregate/field",
         "unknown_key"),
        ("source: orders, aggregate: {fn: share, field: amount}", "/aggregate", "missing_key"),
        ("source: orders, "
         "aggregate: {fn: sum, field: amount, where: {field: channel, cmp: is_set}}",
         "/aggregate/where", "unknown_key"),
        ("source: orders, aggregate: {fn: count, converted_within_days: 3}",
         "/aggregate/converted_within_days", "unknown_key"),
        ("source: referrals, aggregate: {fn: active_days, converted_within_days: 3}",
         "/aggregate/converted_within_days", "unknown_key"),
        ("source: referrals, aggregate: {fn: count_distinct, field: referee_id}",
         "/aggregate/field", "unknown_field"),
        ("source: baskets, aggregate: {fn: count}", "/source", "unknown_value"),
        ("source: orders, aggregate: {fn: count}, matured_days: -1", "/matured_days",
         "out_of_range"),
        ("source: orders, aggregate: {fn: count}, time: shipped_at", "/time", "unknown_value"),
        ("source: events, aggregate: {fn: count}, time: paid_at", "/time", "unknown_key"),
        ("source: orders, aggregate: {fn: count}, type: number", "/type", "unknown_key"),
        ("source: orders, aggregate: {fn: count}, value_kind: past", "/value_kind",
         "unknown_value"),
        ("source: orders, aggregate: {fn: count}, colour: red", "/colour", "unknown_key"),
        ("source: orders, aggregate: {fn: count}, label: {fr: Compte}", "/label/fr", "unknown_key"),
        ("source: orders", "", "missing_key"),
    ],
)  # fmt: skip
def test_refuses_metrics(fields: str, path: str, code: str) -> None:
    text = metric(f"{fields}, unit: count, window: {{all: true}}")
    assert (f"{M}{path}", code) in codes(text)


@pytest.mark.parametrize(
    ("source", "test", "code"),
    [
        ("orders", "{field: phone, cmp: is_set}", "unknown_field"),
        ("orders", "{field: channel, cmp: gt, value: 1}", "cmp_not_allowed"),
        ("orders", "{field: amount, cmp: in, value: [1]}", "cmp_not_allowed"),
        ("orders", "{field: amount, cmp: gt, value: much}", "wrong_type"),
        ("orders", "{field: is_promotion, cmp: is_set}", "cmp_not_allowed"),
        ("orders", "{field: channel, cmp: eq, value: app, type: number}", "unknown_key"),
        ("orders", "{metric: orders_180d, cmp: gt, value: 1}", "unknown_key"),
        ("events", "{field: properties.page, cmp: gt, value: 3}", "cmp_not_allowed"),
        ("events", "{field: page, cmp: eq, value: a}", "unknown_field"),
        ("referrals", "{field: name, cmp: eq, value: a}", "unknown_field"),
    ],
)
def test_refuses_filters_at_the_node(source: str, test: str, code: str) -> None:
    fields = f"source: {source}, unit: count, aggregate: {{fn: count}}, window: {{all: true}}"
    text = metric(f"{fields}, filter: {{all: [{{not: {test}}}]}}")
    assert (f"{M}/filter/all/0/not", code) in codes(text)


def test_properties_are_text_unless_the_metric_says_number() -> None:
    fields = (
        "source: events, unit: count, aggregate: {fn: count}, window: {all: true}, type: number, "
        "filter: {all: [{field: properties.n, cmp: gt, value: 3}, "
        "{field: properties.n, cmp: eq, value: 3}, {field: properties.n, cmp: eq, value: '3'}, "
        "{field: properties.n, cmp: eq, value: x}]}"
    )
    three = Decimal(3)
    read = read_metric(fields)
    assert isinstance(read, FactMetric)
    assert read.filter == FilterAll(
        (
            FieldTest("properties.n", "number", "gt", three),
            FieldTest("properties.n", "number", "eq", three),
            FieldTest("properties.n", "text", "eq", "3"),
            FieldTest("properties.n", "text", "eq", "x"),
        )
    )
    own = "source: events, unit: count, aggregate: {fn: count}, window: {all: true}, filter: "
    read = read_metric(own + "{field: properties.n, type: number, cmp: between, value: [1, 3]}")
    assert isinstance(read, FactMetric)
    assert read.filter == FieldTest("properties.n", "number", "between", (Decimal(1), three))


def test_formulas_add_terms_and_may_use_formulas() -> None:
    read = read_metric(
        "unit: count, formula: {sum: [{metric: growth_value}, "
        '{metric: orders_180d, times: 0.5, cap: "10"}]}'
    )
    assert isinstance(read, FormulaMetric)
    assert read.terms == (
        FormulaTerm("growth_value", Decimal(1)),
        FormulaTerm("orders_180d", Decimal("0.5"), Decimal(10)),
    )


@pytest.mark.parametrize(
    ("formula", "path", "code"),
    [
        ("{sum: [{metric: nothing}]}", "/formula/sum/0", "unknown_metric"),
        ("{sum: [{metric: m}]}", "/formula/sum/0", "cycle"),
        ("{sum: []}", "/formula/sum", "out_of_range"),
        ("{product: []}", "/formula/product", "unknown_key"),
        ("{sum: [{times: 1}]}", "/formula/sum/0", "missing_key"),
        ("{sum: [{metric: orders_180d, times: x}]}", "/formula/sum/0/times", "wrong_type"),
    ],
)
def test_refuses_formulas(formula: str, path: str, code: str) -> None:
    assert (f"{M}{path}", code) in codes(metric(f"unit: count, formula: {formula}"))


def test_a_formula_takes_no_source() -> None:
    text = metric("unit: count, source: orders, formula: {sum: [{metric: orders_180d}]}")
    assert codes(text) == [(f"{M}/source", "unknown_key")]


def test_three_fractions_in_a_formula_are_too_complex() -> None:
    def share(key: str) -> str:
        return (
            f"{{key: {key}, source: orders, unit: money, window: {{all: true}}, "
            "aggregate: {fn: avg, field: amount}}"
        )

    def formula(key: str, *terms: str) -> str:
        added = ", ".join(f"{{metric: {term}}}" for term in terms)
        return f"{{key: {key}, unit: money, formula: {{sum: [{added}]}}}}"

    head = f"metrics: [{share('a')}, {share('b')}, {share('c')}, {formula('ab', 'a', 'b', 'a')}"
    assert codes(f"{head}]") == []
    assert codes(f"{head}, {formula('abc', 'ab', 'c')}]") == [("/metrics/4/formula", "too_complex")]


@pytest.mark.parametrize(("depth", "problems"), [(1, 0), (2, 1)])
def test_formulas_of_formulas_must_stay_exact(depth: int, problems: int) -> None:
    """4 decimals of money, 9 more by each `times`: one formula ends after 13, two after 22."""
    metrics = [
        "{key: f0, source: orders, unit: money, window: {all: true}, "
        "aggregate: {fn: sum, field: amount}}"
    ]
    metrics += [
        f"{{key: f{number + 1}, unit: money, "
        f"formula: {{sum: [{{metric: f{number}, times: '0.000000001'}}]}}}}"
        for number in range(depth)
    ]
    found = codes(f"metrics: [{', '.join(metrics)}]")
    assert found == [("/metrics/2/formula", "too_complex")] * problems


def layering(rest: str) -> str:
    return f"layerings: [{{key: l, metric: orders_180d, {rest}}}]"


def test_reads_layerings_with_exact_cuts() -> None:
    text = layering('cuts: [0.1, "2.50"], layers: [低, 中, 高]')
    assert codes(text) == []
    reading = read_sources([Source("", text)], project_zone=ZONE)
    definition = reading.patch[Ref("layering", "l")].definition
    assert isinstance(definition, Layering)
    assert definition.cuts == (Decimal("0.1"), Decimal("2.5"))
    assert definition.layers == ("低", "中", "高")
    assert definition.label.zh_hans == "l"


@pytest.mark.parametrize(
    ("rest", "path", "code"),
    [
        ("cuts: [2, 1], layers: [a, b, c]", "/cuts/1", "out_of_range"),
        ('cuts: [1, "1.0"], layers: [a, b, c]', "/cuts/1", "out_of_range"),
        ("cuts: [1], layers: [a]", "/layers", "out_of_range"),
        ("cuts: [1], layers: [a, a]", "/layers/1", "duplicate_key"),
        ("cuts: [], layers: [a]", "/cuts", "out_of_range"),
        ("cuts: [x], layers: [a, b]", "/cuts/0", "wrong_type"),
        ("cuts: 1, layers: [a, b]", "/cuts", "wrong_type"),
        ("cuts: {percentiles: [-1]}, layers: [a, b]", "/cuts/percentiles", "out_of_range"),
        ("cuts: {percentiles: [100.5]}, layers: [a, b]", "/cuts/percentiles", "out_of_range"),
        ("cuts: {percentiles: [50, 50]}, layers: [a, b, c]", "/cuts/percentiles/1",
         "out_of_range"),
        ("cuts: {quantiles: [50]}, layers: [a, b]", "/cuts/quantiles", "unknown_key"),
        ("layers: [a, b]", "", "missing_key"),
    ],
)  # fmt: skip
def test_refuses_layerings(rest: str, path: str, code: str) -> None:
    assert (f"/layerings/0{path}", code) in codes(layering(rest))


def test_percentiles_include_0_and_100() -> None:
    text = layering("cuts: {percentiles: [0, 50, 100]}, layers: [a, b, c, d]")
    assert codes(text) == []


def test_a_layering_needs_a_known_metric() -> None:
    text = "layerings: [{key: l, metric: order_180d, cuts: [1], layers: [a, b]}]"
    assert codes(text) == [("/layerings/0/metric", "unknown_metric")]


def test_a_unit_that_does_not_fit_is_a_warning() -> None:
    text = metric("source: orders, unit: money, aggregate: {fn: count}, window: {all: true}")
    assert codes(text) == []
    assert warnings(text) == [("/metrics/0/unit", "unit_mismatch")]
