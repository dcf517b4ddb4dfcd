"""The plan's expressions: exact integers only, no zone arithmetic, nothing that only DuckDB can do.

Architecture decisions 5, 10 and 11. Every refusal has a control: a plan of the kind that went wrong
elsewhere, which the walker must catch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import get_args

import ibis
import ibis.expr.operations as ops
import ibis.expr.types as ir
import pytest
import sqlglot

from segmentation.domain.definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    FieldTest,
    FilterAll,
    FilterAny,
    FilterNot,
    Fn,
    FormulaMetric,
    FormulaTerm,
    Label,
    Layering,
    Segment,
    TagGroup,
    TagRule,
    Window,
)
from segmentation.domain.reading.fields import FIELDS
from segmentation.domain.rules import (
    DATE_CMPS,
    LAYER_CMPS,
    NUMBER_CMPS,
    TAG_CMPS,
    TEXT_CMPS,
    All,
    Any,
    AttrLeaf,
    BucketLeaf,
    LayerLeaf,
    MetricLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
    TierLeaf,
)
from segmentation.engine.plan import CompiledPlan, RankRules, compile_plan

LABEL = Label("x", "x")
WINDOWS = (
    Window("days", 30), Window("days", 30, to_now=True), Window("months", 3),
    Window("months", 3, to_now=True), Window("hours", 5),
    Window("calendar", calendar="quarter", offset=-1), Window("all"),
)  # fmt: skip
REFUSED_OPERATIONS = (ops.Mean, ops.Divide, ops.FloorDivide)
TEMPORAL = (ops.temporal.__name__, ops.temporal_windows.__name__)


def problems(expression: ir.Expr) -> Iterator[str]:
    """Everything in an expression tree that a plan may not contain."""
    for node in expression.op().find(ops.Node):
        if isinstance(node, REFUSED_OPERATIONS):
            yield f"division: {type(node).__name__}"
        if type(node).__module__ in TEMPORAL:
            yield f"zone arithmetic: {type(node).__name__}"
        if not isinstance(node, ops.Value):
            continue
        if node.dtype.is_floating():
            yield f"float: {type(node).__name__}"
        if node.dtype.is_temporal():
            yield f"time type: {type(node).__name__} of {node.dtype}"
        if isinstance(node, ops.Literal) and (
            isinstance(node.value, Decimal | float) or node.dtype.is_decimal()
        ):
            exact = node.dtype.is_decimal() and (node.dtype.precision, node.dtype.scale) == (38, 0)
            if not exact:
                yield f"untyped literal: {node.value} as {node.dtype}"


def value_of(cmp: str, one: object) -> object:
    if cmp in ("is_set", "is_not_set"):
        return None
    if cmp == "between":
        return (one, one)
    return (one,) if cmp in ("in", "not_in") else one


def fact_metrics() -> Iterator[FactMetric]:
    """Every function on every source and field, every window, filters of every comparison."""
    tests = [
        FieldTest("channel", "text", cmp, value_of(cmp, "app"))  # type: ignore[arg-type]
        for cmp in TEXT_CMPS
    ]
    tests += [
        FieldTest("net_amount", "money", cmp, value_of(cmp, Decimal("0.5")))  # type: ignore[arg-type]
        for cmp in NUMBER_CMPS
    ]
    tests.append(FieldTest("is_promotion", "boolean", "ne", True))
    everything = FilterNot(FilterAny((FilterAll(tuple(tests)), tests[0])))
    number = 0
    for source in ("orders", "order_lines", "events", "referrals"):
        fields = list(FIELDS[source].items())
        if source == "events":
            fields += [("properties.a/b", "number"), ("properties.n", "text")]
        for fn in get_args(Fn):
            named: list[tuple[str | None, str | None]] = [(None, None)]
            if fn in ("sum", "avg", "min", "max", "share"):
                named = [pair for pair in fields if pair[1] in ("money", "number")]
            elif fn == "count_distinct":
                named = list(fields)
            for field, kind in named:
                with_filter = source in ("orders", "order_lines")
                yield FactMetric(
                    key=f"m{number}",
                    label=LABEL,
                    source=source,  # type: ignore[arg-type]
                    aggregate=Aggregate(
                        fn,
                        field,
                        kind,  # type: ignore[arg-type]
                        FieldTest(fields[0][0], fields[0][1], "is_set", None)
                        if fn == "share"
                        else None,
                    ),
                    window=WINDOWS[number % len(WINDOWS)],
                    unit="ratio",
                    time="paid_at" if with_filter and number % 2 else "placed_at",
                    matured_days=7 if number % 3 == 0 else None,
                    filter=everything if with_filter and number % 4 == 0 else None,
                )
                number += 1
    yield FactMetric(
        "converted",
        LABEL,
        "referrals",
        Aggregate("count", converted_within_days=30),
        Window("months", 12),
        "count",
    )


def every_leaf(metrics: list[str]) -> Iterator[Node]:
    for cmp in NUMBER_CMPS:
        for key in metrics:
            yield MetricLeaf(key, cmp, value_of(cmp, Decimal("0.6667")))  # type: ignore[arg-type]
        yield AttrLeaf("birth_month", cmp, value_of(cmp, Decimal(3)))  # type: ignore[arg-type]
        yield AttrLeaf("days_since_registered", cmp, value_of(cmp, Decimal(10**20)), True)  # type: ignore[arg-type]
    for cmp in DATE_CMPS:
        for name in ("registered_at", "consent_at", "birth_date"):
            yield AttrLeaf(name, cmp, value_of(cmp, date(2018, 1, 1)))  # type: ignore[arg-type]
    for cmp in TEXT_CMPS:
        yield AttrLeaf("city", cmp, value_of(cmp, "a"), if_missing=True)  # type: ignore[arg-type]
    for cmp in TAG_CMPS:
        for group in ("city_tier", "likes", "one", "many"):
            yield TagLeaf(group, cmp, value_of(cmp, "a"))  # type: ignore[arg-type]
    for cmp in LAYER_CMPS:
        yield LayerLeaf("cut", cmp, value_of(cmp, "low"))  # type: ignore[arg-type]
        yield LayerLeaf("share", cmp, value_of(cmp, "low"))  # type: ignore[arg-type]
    yield AttrLeaf("is_staff", "ne", True)
    yield TierLeaf("gold", "at_least", "silver")
    yield BucketLeaf("salt", 0, 5_000)


@cache
def rich_plan() -> CompiledPlan:
    """A plan with everything a definitions document can name."""
    metrics: dict[str, FactMetric | FormulaMetric] = {m.key: m for m in fact_metrics()}
    fractions = [key for key, metric in metrics.items() if metric.is_fraction]  # type: ignore[union-attr]
    terms = [FormulaTerm(fractions[0], Decimal("0.5"), Decimal(500))]
    terms += [FormulaTerm(fractions[1], Decimal("-0.0003")), FormulaTerm("m0", Decimal(20))]
    metrics["formula"] = FormulaMetric("formula", LABEL, "ratio", tuple(terms))
    metrics["whole"] = FormulaMetric("whole", LABEL, "ratio", (FormulaTerm("m0", Decimal("0.1")),))
    layerings = {
        "cut": Layering("cut", LABEL, "formula", ("low", "high"), cuts=(Decimal("0.1"),)),
        "share": Layering("share", LABEL, "whole", ("low", "high"), percentiles=(Decimal(50),)),
    }
    once = TagRule("a", MetricLeaf("m0", "gt", Decimal("1.5")))
    groups = {
        "city_tier": TagGroup("city_tier", LABEL, True, ("a", "b")),
        "likes": TagGroup("likes", LABEL, False, ("a", "b")),
        "one": TagGroup("one", LABEL, True, ("a",), rules=(once,)),
        "many": TagGroup("many", LABEL, False, ("a",), rules=(once, once)),
    }
    compared = [fractions[0], "m0", "formula", "whole"]
    leaf_rule = All((Not(Any(tuple(every_leaf(compared)))), All(()), Any(())))
    segments = {
        "child": Segment("child", LABEL, "service", "hidden", leaf_rule),
        "parent": Segment("parent", LABEL, "service", "hidden", Not(SegmentLeaf("child"))),
    }
    return compile_plan(
        Catalog(tag_groups=groups, metrics=metrics, layerings=layerings, segments=segments),
        ladders=[RankRules("gold", ((1, Any(tuple(every_leaf(compared)))), (2, leaf_rule)))],
        tier_ranks={"gold": {"silver": 1}},
        overrides=frozenset({("child", "include"), ("parent", "exclude")}),
        has_objections=True,
    )


def test_the_plan_computes_exactly_and_without_zones() -> None:
    plan = rich_plan()
    assert list(problems(plan.metrics_expression)) == []
    assert list(problems(plan.verdicts_expression)) == []


@pytest.mark.parametrize("statement", ["metrics_expression", "verdicts_expression"])
def test_the_plan_compiles_for_spark(statement: str) -> None:
    """Decision 5: the whole plan has a form in Spark's dialect, which its parser accepts."""
    sql = str(ibis.to_sql(getattr(rich_plan(), statement), dialect="pyspark"))
    parsed = sqlglot.parse_one(sql, dialect="spark")
    assert parsed.find(sqlglot.exp.Anonymous) is None  # a function that Spark's dialect knows not


ORDERS = ibis.table({"id": "int64", "net": "int64", "at": "timestamp('UTC')"}, name="orders")
CONTROLS: dict[str, tuple[str, Callable[[], ir.Expr]]] = {
    "mean": ("division: Mean", lambda: ORDERS.agg(x=ORDERS.net.mean())),
    "divide": ("division: Divide", lambda: ORDERS.mutate(x=ORDERS.net / 2)),
    "floor": ("division: FloorDivide", lambda: ORDERS.filter(ORDERS.net // 2 > 1)),
    "decimal": (
        "untyped literal: 0.6667 as decimal",
        lambda: ORDERS.filter(ORDERS.net > ibis.literal(Decimal("0.6667"))),
    ),
    "scaled decimal": (
        "untyped literal: 0.67 as decimal(38, 2)",
        lambda: ORDERS.filter(ORDERS.net > ibis.literal(Decimal("0.67"), type="decimal(38, 2)")),
    ),
    "float literal": ("untyped literal: 0.5", lambda: ORDERS.filter(ORDERS.net > 0.5)),
    "float column": ("float: Cast", lambda: ORDERS.mutate(x=ORDERS.net.cast("float64"))),
    "root": ("float: Sqrt", lambda: ORDERS.mutate(x=ORDERS.net.sqrt())),
    "date": ("time type: Cast of date", lambda: ORDERS.mutate(x=ORDERS.at.cast("date"))),
    "timestamp": (
        "time type: Cast of timestamp",
        lambda: ORDERS.mutate(x=ORDERS.net.cast("timestamp")),
    ),
    "zone": (
        "time type: Cast of timestamp('Asia/Shanghai')",
        lambda: ORDERS.mutate(x=ORDERS.at.cast("timestamp('Asia/Shanghai')")),
    ),
    "truncate": (
        "zone arithmetic: TimestampTruncate",
        lambda: ORDERS.mutate(x=ORDERS.at.truncate("D")),
    ),
    "part": ("zone arithmetic: ExtractYear", lambda: ORDERS.mutate(x=ORDERS.at.year())),
    "moment": (
        "time type: Literal",
        lambda: ORDERS.filter(ORDERS.at < ibis.literal(datetime(2018, 1, 1))),  # noqa: DTZ001
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(CONTROLS))
def test_control_the_walker_refuses(name: str) -> None:
    expected, make = CONTROLS[name]
    found = list(problems(make()))
    assert any(problem.startswith(expected) for problem in found), found


def test_control_a_clean_expression_is_not_refused() -> None:
    exact = ibis.literal(Decimal(10**20), type="decimal(38, 0)")
    clean = ORDERS.select("net").filter(lambda t: t.net.cast("decimal(38, 0)") > exact)
    assert list(problems(clean)) == []
