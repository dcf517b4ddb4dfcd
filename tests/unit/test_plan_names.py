"""What the backend must keep apart: names that differ only in capitals, repeated days, old values.

Everything is compared with the oracle, and said in figures too.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any as Anything
from zoneinfo import ZoneInfo

import pytest

from segmentation.domain.definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    FieldTest,
    FormulaMetric,
    FormulaTerm,
    Label,
    Layering,
    Segment,
    TagGroup,
    TagRule,
    Window,
)
from segmentation.domain.evaluate import bucket
from segmentation.domain.history import CustomerHistory, Event, Order, Referral, Tag
from segmentation.domain.rules import BucketLeaf, MetricLeaf, Node, TagLeaf
from segmentation.engine.backend import open_duckdb
from segmentation.engine.plan.rules import layer_column, segment_column
from segmentation.engine.schema import name_part
from segmentation.engine.snapshots import exact_metric, tag_values
from tests.property.strategies_world import World
from tests.property.test_engine_oracle import Case, Count, answers, compare, compiled

LABEL = Label("x", "x")
AS_OF = datetime(2018, 6, 1, tzinfo=UTC)
PLACED = datetime(2018, 5, 1, tzinfo=UTC)
COUNT = FactMetric("count", LABEL, "orders", Aggregate("count"), Window("all"), "count")


def judged(
    catalog: Catalog,
    *people: CustomerHistory,
    zone: str = "America/New_York",
    as_of: datetime = AS_OF,
) -> list[dict[str, Anything]]:
    """The engine's row of each customer, after comparing all of it with the oracle's."""
    case = Case(catalog, (), zone, "CNY", (as_of,), World(people, (None,) * len(people)))
    plan = compiled(case)
    with open_duckdb() as duck:
        (answer,) = answers(case, plan, duck)
        compare(case, plan, answer, Count())
    return answer.rows


def segments(**rules: Node) -> dict[str, Segment]:
    return {key: Segment(key, LABEL, "service", "internal", rule) for key, rule in rules.items()}


def test_every_text_has_a_name_of_its_own() -> None:
    texts = ["a", "A", "^a", "^A", "^^a", "É", "é", "aB", "Ab", "a^b", ""]
    assert len({name_part(text).lower() for text in texts}) == len(texts) - 1  # É is é in Python
    assert len({name_part(text) for text in texts}) == len(texts)


def test_rule_tag_values_that_differ_in_capitals() -> None:
    """DuckDB takes `A` and `a` for the same column."""
    rules = (
        TagRule("A", MetricLeaf("count", "gte", Decimal(1))),
        TagRule("a", MetricLeaf("count", "lt", Decimal(1))),
    )
    group = TagGroup("g", LABEL, exclusive=False, values=("A", "a"), rules=rules)
    catalog = Catalog(
        tag_groups={"g": group}, metrics={"count": COUNT},
        segments=segments(small=TagLeaf("g", "eq", "a")),
    )  # fmt: skip
    buyer = CustomerHistory("buyer", orders=(Order(PLACED, Decimal(10)),))
    rows = judged(catalog, buyer, CustomerHistory("stranger"))
    assert [tag_values(row, catalog, "g") for row in rows] == [["A"], ["a"]]
    assert [row[segment_column("small")] for row in rows] == [False, True]


def test_salts_that_differ_in_capitals() -> None:
    catalog = Catalog(
        metrics={"count": COUNT},
        segments=segments(big=BucketLeaf("S", 0, 5_000), small=BucketLeaf("s", 0, 5_000)),
    )
    people = [CustomerHistory(f"c{number}") for number in range(20)]
    rows = judged(catalog, *people)
    for key, salt in (("big", "S"), ("small", "s")):
        expected = [bucket(salt, person.external_id) < 5_000 for person in people]
        assert [row[segment_column(key)] for row in rows] == expected
    assert [row[segment_column("big")] for row in rows] != [
        row[segment_column("small")] for row in rows
    ]


def test_properties_that_differ_in_capitals() -> None:
    metrics = {
        key: FactMetric(
            key, LABEL, "events", Aggregate("sum", f"properties.{name}", "number"),
            Window("all"), "count",
        )
        for key, name in (("upper", "Page"), ("lower", "page"))
    }  # fmt: skip
    catalog = Catalog(metrics=metrics)
    reader = CustomerHistory("reader", events=(Event("x", PLACED, {"Page": 1, "page": 22}),))
    (row,) = judged(catalog, reader)
    assert (row["m:upper"], row["m:lower"]) == (1 * 10**9, 22 * 10**9)


@pytest.mark.parametrize(("days", "converted"), [(0, 0), (1, 1)])
def test_the_first_order_on_a_date_that_is_gone_again(days: int, converted: int) -> None:
    """S12: in St. John's a clock went back from 00:01 to 23:01: the first order is of the later
    date, the second of the earlier."""
    zone = ZoneInfo("America/St_Johns")
    first = datetime(2010, 11, 7, 0, 0, 30, tzinfo=zone).astimezone(UTC)
    second = first + timedelta(minutes=10)
    assert second.astimezone(zone).date() < first.astimezone(zone).date()
    buyer = CustomerHistory("buyer", orders=tuple(Order(at, Decimal(1)) for at in (first, second)))
    brought = Referral("buyer", first - timedelta(hours=5), buyer.orders)
    metric = FactMetric(
        "converted", LABEL, "referrals", Aggregate("count", converted_within_days=days),
        Window("all"), "count",
    )  # fmt: skip
    catalog = Catalog(metrics={"converted": metric})
    friend = CustomerHistory("friend", referrals=(brought,))
    rows = judged(catalog, friend, buyer, zone=zone.key, as_of=datetime(2010, 11, 10, tzinfo=UTC))
    assert [row["m:converted"] for row in rows] == [converted, 0]


def test_percentiles_of_a_formula_of_two_shares_fit_38_digits() -> None:
    """Their denominators are products of sums: one big spender's value times the cut did not fit
    and no run ended."""

    def share(key: str, channel: str, *, of_promotions: bool) -> FactMetric:
        promoted = FieldTest("is_promotion", "boolean", "eq", True) if of_promotions else None
        return FactMetric(
            key, LABEL, "orders",
            Aggregate("share", "amount", "money", FieldTest("channel", "text", "eq", channel)),
            Window("all"), "ratio", filter=promoted,
        )  # fmt: skip

    one, two = share("one", "app", of_promotions=False), share("two", "store", of_promotions=True)
    both = FormulaMetric(
        "both", LABEL, "ratio",
        (FormulaTerm("one", Decimal("0.5")), FormulaTerm("two", Decimal("0.3"))),
    )  # fmt: skip
    catalog = Catalog(
        metrics={metric.key: metric for metric in (one, two, both)},
        layerings={"y": Layering("y", LABEL, "both", ("low", "high"), percentiles=(Decimal(50),))},
    )
    people = [
        CustomerHistory(
            f"c{number}",
            orders=tuple(
                Order(
                    PLACED,
                    Decimal(100_000_003 + number * step),
                    channel=channel,
                    is_promotion=step > 3,
                )
                for step, channel in ((3, None), (7, "app"), (11, "store"), (13, "store"))
            ),
        )
        for number in range(1, 6)
    ]
    rows = judged(catalog, *people)
    plan = compiled(Case(catalog, (), "UTC", "CNY", (), World((), ())))
    values = {exact_metric(row, plan.shapes["both"], "both"): row["l:y"] for row in rows}
    assert [values[value] for value in sorted(values)] == ["low", "low", "high", "high", "high"]  # type: ignore[type-var]
    assert layer_column("y") == "l:y"


def test_several_values_of_a_group_that_became_exclusive() -> None:
    """One of them counts, everywhere the same one."""
    group = TagGroup("g", LABEL, exclusive=True, values=("a", "b"))
    catalog = Catalog(
        tag_groups={"g": group}, metrics={"count": COUNT},
        segments=segments(a=TagLeaf("g", "eq", "a"), b=TagLeaf("g", "eq", "b")),
    )  # fmt: skip
    (row,) = judged(catalog, CustomerHistory("c", tags=(Tag("g", "a"), Tag("g", "b"))))
    assert tag_values(row, catalog, "g") == ["b"]
    assert (row[segment_column("a")], row[segment_column("b")]) == (False, True)
