"""Progress to the next tier: the member's own view, P03."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from membership.domain.programs import ProgramVersion, Tier
from membership.domain.progress import Gap, next_tier, progress
from segmentation.domain.definitions import Label
from segmentation.domain.rules import All, AttrLeaf, MetricLeaf, Node, Not, TagLeaf
from segmentation.domain.rules import Any as AnyOf

UNITS: dict[str, Any] = {"spend": "money", "orders": "count", "age": "days", "share": "ratio"}


def leaf(metric: str, cmp: str, value: str, *, if_missing: bool = False) -> MetricLeaf:
    return MetricLeaf(metric, cmp, Decimal(value), if_missing)  # type: ignore[arg-type]


def gaps(rule: Node, *, currency: str = "CNY", **values: Any) -> tuple[Gap, ...] | None:
    exact = {key: None if value is None else Fraction(value) for key, value in values.items()}
    return progress(rule, values=exact, units=UNITS, currency=currency)


@pytest.mark.parametrize(
    ("cmp", "have", "missing"),
    [
        ("gte", "1500.50", "499.50"),
        ("gte", "1999.99", "0.01"),
        ("gte", "2000", "0.00"),
        ("gte", "2500", "0.00"),
        ("gt", "1999.99", "0.02"),
        ("gt", "2000", "0.01"),
        ("gt", "2000.01", "0.00"),
        ("gt", "9000", "0.00"),
    ],
)
def test_missing_is_the_least_amount_that_fulfils(cmp: str, have: str, missing: str) -> None:
    shown = format(Decimal(have), ".2f")
    assert gaps(leaf("spend", cmp, "2000"), spend=have) == (
        Gap("spend", "2000.00", shown, missing),
    )


@pytest.mark.parametrize(
    ("metric", "cmp", "value", "have", "expected"),
    [
        ("orders", "gte", "5", "3", Gap("orders", "5", "3", "2")),
        ("orders", "gt", "5", "5", Gap("orders", "5", "5", "1")),
        ("orders", "gte", "4.5", "3", Gap("orders", "5", "3", "2")),
        ("orders", "gt", "4.5", "3", Gap("orders", "4", "3", "2")),
        ("age", "gte", "30", "12", Gap("age", "30", "12", "18")),
        ("share", "gte", "0.5", "1/3", Gap("share", "0.500000", "0.333333", "0.166667")),
        ("share", "gt", "0.5", "1/2", Gap("share", "0.500000", "0.500000", "0.000001")),
        ("spend", "gte", "100", "299/3", Gap("spend", "100.00", "99.67", "0.34")),
    ],
)
def test_each_unit_has_its_smallest_step(
    metric: str, cmp: str, value: str, have: str, expected: Gap
) -> None:
    assert gaps(leaf(metric, cmp, value), **{metric: have}) == (expected,)


def test_the_currency_decides_the_decimals() -> None:
    rule = leaf("spend", "gt", "2000")
    assert gaps(rule, currency="JPY", spend="1500") == (Gap("spend", "2000", "1500", "501"),)
    assert gaps(rule, currency="KWD", spend="1500") == (
        Gap("spend", "2000.000", "1500.000", "500.001"),
    )


def test_leaves_under_all_come_in_the_rules_order() -> None:
    rule = All((leaf("orders", "gte", "2"), All((leaf("spend", "gt", "10"),))))
    assert gaps(rule, spend="3", orders="5") == (
        Gap("orders", "2", "5", "0"),
        Gap("spend", "10.00", "3.00", "7.01"),
    )


def test_a_value_that_is_missing_counts_as_nothing_unless_the_leaf_says_otherwise() -> None:
    assert gaps(leaf("age", "gte", "30"), age=None) == (Gap("age", "30", None, "30"),)
    assert gaps(leaf("age", "gte", "30")) == (Gap("age", "30", None, "30"),)
    forgiving = leaf("age", "gte", "30", if_missing=True)
    assert gaps(forgiving, age=None) == (Gap("age", "30", None, "0"),)


@pytest.mark.parametrize(
    "rule",
    [
        leaf("spend", "lt", "5"),
        leaf("spend", "eq", "5"),
        AnyOf((leaf("spend", "gte", "5"),)),
        Not(leaf("spend", "gte", "5")),
        TagLeaf("city_tier", "eq", "first"),
        All((leaf("spend", "gte", "5"), AttrLeaf("channel", "eq", "app"))),
        All((leaf("spend", "gte", "5"), Not(leaf("orders", "gte", "5")))),
        leaf("unknown", "gte", "5"),
    ],
)
def test_any_other_rule_has_no_progress(rule: Node) -> None:
    assert gaps(rule, spend="3", orders="5") is None


def test_next_tier_is_the_next_rank_that_exists() -> None:
    low, high = (Tier(str(rank), rank, Label("", ""), All(())) for rank in (2, 5))
    version = ProgramVersion(number=1, effective_from=date(2017, 1, 1), tiers=(low, high))
    assert next_tier(version, rank=None) == low
    assert next_tier(version, rank=2) == high
    assert next_tier(version, rank=3) == high
    assert next_tier(version, rank=5) is None
    assert next_tier(replace(version, tiers=(high, low)), rank=1) == low
