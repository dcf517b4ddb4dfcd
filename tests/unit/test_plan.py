"""The plan of definitions that are large or odd: it compiles, and its answers stay exact."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from segmentation.domain.definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    FieldTest,
    FormulaMetric,
    FormulaTerm,
    Label,
    Segment,
    TagGroup,
    TagRule,
    Window,
)
from segmentation.domain.evaluate import Oracle, Setting
from segmentation.domain.history import CustomerHistory, Event, Order
from segmentation.domain.rules import (
    All,
    Any,
    AttrLeaf,
    MetricLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
)
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import OVERRIDES, RunInputs, compute
from segmentation.engine.plan import compile_plan
from segmentation.engine.plan.rules import segment_column, tag_column
from segmentation.engine.snapshots import exact_metric
from segmentation.engine.stopwatch import Stopwatch
from tests.property.mirror_files import write_mirror

LABEL = Label("x", "x")
ZONE = ZoneInfo("Asia/Shanghai")
AS_OF = datetime(2018, 2, 1, tzinfo=UTC)
PLACED = datetime(2018, 1, 1, tzinfo=UTC)
NOBODY = pa.schema([("ordinal", pa.int64()), ("program", pa.string()), ("rank", pa.int64())])

AVERAGE = FactMetric(
    "average", LABEL, "orders", Aggregate("avg", "amount", "money"), Window("all"), "money"
)
SHARE = FactMetric(
    "share", LABEL, "orders",
    Aggregate("share", "amount", "money", FieldTest("channel", "text", "eq", "app")),
    Window("all"), "ratio",
)  # fmt: skip
BUYER = CustomerHistory(
    "buyer",
    orders=(
        Order(PLACED, Decimal("0.10"), channel="app"),
        Order(PLACED, Decimal("0.10")),
        Order(PLACED, Decimal("0.11")),
    ),
)
STRANGER = CustomerHistory("stranger")


def segment(key: str, rule: Node) -> Segment:
    return Segment(key, LABEL, "service", "internal", rule)


def compared(catalog: Catalog, folder: Path, *people: CustomerHistory) -> list[dict[str, object]]:
    """The verdicts of the engine, after comparing all of them with the oracle's."""
    plan = compile_plan(catalog)
    with open_duckdb() as duck:
        inputs = RunInputs(
            manifest=write_mirror(folder, people, zone=ZONE),
            mirror=folder,
            watermark=1,
            as_of=AS_OF,
            zone=ZONE,
            currency="CNY",
            overrides=OVERRIDES.empty_table(),
            before=NOBODY.empty_table(),
        )
        compute(duck, plan, inputs, Stopwatch())
        rows = duck.sql("SELECT * FROM verdicts ORDER BY ordinal").to_arrow_table().to_pylist()
    setting = Setting(catalog, AS_OF, ZONE, "CNY")
    for row, person in zip(rows, people, strict=True):
        oracle = Oracle(person, setting=setting)
        for key in catalog.metrics:
            assert exact_metric(row, plan.shapes[key], key) == oracle.metric(key), key
        for key in catalog.segments:
            assert row[segment_column(key)] is oracle.in_segment(key), key
    return rows


@pytest.mark.parametrize("cmp", ["eq", "ne"])
def test_a_value_no_metric_can_have_and_nothing_to_compare(cmp: str, tmp_path: Path) -> None:
    """S13: no amount has six decimals; `if_missing` decides for whom has no amount at all."""
    greatest = FactMetric(
        "max", LABEL, "orders", Aggregate("max", "amount", "money"), Window("all"), "money"
    )
    odd = Decimal("0.000001")
    catalog = Catalog(
        metrics={"max": greatest},
        segments={
            "plain": segment("plain", MetricLeaf("max", cmp, odd)),  # type: ignore[arg-type]
            "match": segment("match", MetricLeaf("max", cmp, odd, if_missing=True)),  # type: ignore[arg-type]
        },
    )
    buyer, stranger = compared(catalog, tmp_path, BUYER, STRANGER)
    assert buyer[segment_column("plain")] is (cmp == "ne")
    assert stranger[segment_column("plain")] is False
    assert stranger[segment_column("match")] is True


def test_a_formula_that_names_the_same_fractions_again_and_again(tmp_path: Path) -> None:
    """A hundred terms of two fractions, also through other formulas, still fit 38 digits."""
    names = [("average", "share")[n % 2] for n in range(100)]
    terms = tuple(
        FormulaTerm(name, Decimal(n), Decimal("7.25") if n % 3 == 0 else None)
        for n, name in enumerate(names, 1)
    )
    many = FormulaMetric("many", LABEL, "ratio", terms)
    twice = FormulaMetric(
        "twice", LABEL, "ratio",
        (
            FormulaTerm("many", Decimal(2)), FormulaTerm("many", Decimal(-1), Decimal(3)),
            FormulaTerm("share", Decimal("0.3")),
        ),
    )  # fmt: skip
    metrics = {metric.key: metric for metric in (twice, many, AVERAGE, SHARE)}
    catalog = Catalog(metrics=metrics)
    plan = compile_plan(catalog)
    buyer, stranger = compared(catalog, tmp_path, BUYER, STRANGER)
    assert exact_metric(buyer, plan.shapes["share"], "share") == Fraction(10, 31)
    assert exact_metric(stranger, plan.shapes["twice"], "twice") is None


def test_a_missing_fraction_under_a_cap_below_zero_adds_nothing(tmp_path: Path) -> None:
    counted = FactMetric("count", LABEL, "orders", Aggregate("count"), Window("all"), "count")
    capped = FormulaMetric(
        "capped", LABEL, "ratio",
        (FormulaTerm("share", Decimal(1), Decimal(-2)), FormulaTerm("count", Decimal(1))),
    )  # fmt: skip
    metrics = {metric.key: metric for metric in (SHARE, counted, capped)}
    plan = compile_plan(Catalog(metrics=metrics))
    buyer, stranger = compared(Catalog(metrics=metrics), tmp_path, BUYER, STRANGER)
    assert exact_metric(buyer, plan.shapes["capped"], "capped") == 1
    assert exact_metric(stranger, plan.shapes["capped"], "capped") == 0


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.50", Fraction(3, 2)), ("-0", Fraction(0)), ("007", Fraction(7)),
        ("999999999999999999.999999999", Fraction(10**27 - 1, 10**9)),
        ("1234567890123456789", None), ("0.1234567891", None), ("1e3", None), ("+1", None),
        (" 1", None), ("1\n", None), (".5", None), ("5.", None), ("３", None), ("", None),
        (True, None), (None, None), (7, Fraction(7)), (Decimal("0.00000001"), Fraction(1, 10**8)),
        (Decimal("123456789.123456789"), Fraction(123456789123456789, 10**9)),
    ],
)  # fmt: skip
def test_which_properties_are_numbers(
    text: object, number: Fraction | None, tmp_path: Path
) -> None:
    """Engine and oracle read a property alike: a plain decimal of 18 digits and 9 decimals."""
    greatest = FactMetric(
        "max", LABEL, "events", Aggregate("max", "properties.n", "number"), Window("all"), "count"
    )
    person = CustomerHistory("c", events=(Event("e", PLACED, {"n": text}),))  # type: ignore[dict-item]
    catalog = Catalog(metrics={"max": greatest})
    (row,) = compared(catalog, tmp_path, person)
    assert exact_metric(row, compile_plan(catalog).shapes["max"], "max") == number


def many_leaves() -> Catalog:
    leaf = [MetricLeaf("average", "gt", Decimal(n) / 50) for n in range(50)]
    pairs = tuple(All((found, AttrLeaf("city", "is_not_set", None))) for found in leaf)
    return Catalog(metrics={"average": AVERAGE}, segments={"s": segment("s", Not(Any(pairs)))})


def long_chain() -> Catalog:
    """S02: each segment reads the one before."""
    segments = {"s0": segment("s0", MetricLeaf("average", "gt", Decimal("0.1")))}
    for n in range(1, 60):
        segments[f"s{n}"] = segment(f"s{n}", Not(SegmentLeaf(f"s{n - 1}")))
    return Catalog(metrics={"average": AVERAGE}, segments=segments)


def many_distinct_counts() -> Catalog:
    metrics = {
        f"m{n}": FactMetric(
            f"m{n}", LABEL, "events", Aggregate("count_distinct", f"properties.p{n}", "text"),
            Window("all"), "count",
        )
        for n in range(30)
    }  # fmt: skip
    return Catalog(metrics=metrics)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [many_leaves, long_chain, many_distinct_counts])
def test_large_definitions_compile_and_answer(make: Callable[[], Catalog], tmp_path: Path) -> None:
    """As many leaves as a rule may have, a long chain and many joins overflow no stack."""
    rows = compared(make(), tmp_path, BUYER, STRANGER)
    assert len(rows) == 2


def test_rule_tags_read_each_other_in_any_order_of_definition(tmp_path: Path) -> None:
    """S04: a parent that stands before its child reads the child's result of the same run."""
    child = TagGroup(
        "child", LABEL, True, ("yes",),
        rules=(TagRule("yes", MetricLeaf("average", "is_set", None)),),
    )  # fmt: skip
    parent = TagGroup(
        "parent", LABEL, True, ("no",),
        rules=(TagRule("no", TagLeaf("child", "is_not_set", None)),),
    )  # fmt: skip
    groups = {"parent": parent, "child": child}
    catalog = Catalog(tag_groups=groups, metrics={"average": AVERAGE})
    buyer, stranger = compared(catalog, tmp_path, BUYER, STRANGER)
    assert (buyer[tag_column("child")], buyer[tag_column("parent")]) == ("yes", None)
    assert (stranger[tag_column("child")], stranger[tag_column("parent")]) == (None, "no")
