"""Rules in a definitions document: types, cmps, names, limits, places."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from membership.domain.documents import Source, read_sources
from segmentation.domain.dependencies import Ref
from segmentation.domain.rules import (
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

from .reading_cases import ZONE, codes, problems, segment

RULE = "/segments/0/rule"


def rule_of(rule: str) -> Node:
    text = segment(rule)
    assert codes(text) == []
    reading = read_sources([Source("", text)], project_zone=ZONE)
    definition = reading.patch[Ref("segment", "s")].definition
    assert definition is not None
    return definition.rule  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            "{metric: days_since_order, cmp: gt, value: 60}",
            MetricLeaf("days_since_order", "gt", Decimal(60)),
        ),
        (
            '{metric: days_since_order, cmp: eq, value: "0.1"}',
            MetricLeaf("days_since_order", "eq", Decimal("0.1")),
        ),
        (
            "{metric: days_since_order, cmp: eq, value: 0.1}",
            MetricLeaf("days_since_order", "eq", Decimal("0.1")),
        ),
        (
            '{metric: days_since_order, cmp: between, value: [-1, "2.50"]}',
            MetricLeaf("days_since_order", "between", (Decimal(-1), Decimal("2.5"))),
        ),
        (
            "{metric: days_since_order, cmp: is_not_set}",
            MetricLeaf("days_since_order", "is_not_set", None),
        ),
        (
            "{metric: days_since_order, cmp: lt, value: 5, if_missing: match}",
            MetricLeaf("days_since_order", "lt", Decimal(5), if_missing=True),
        ),
        ("{tag: promo_lover, cmp: eq, value: yes}", TagLeaf("promo_lover", "eq", "yes")),
        (
            "{tag: promo_lover, cmp: not_in, value: [yes, no]}",
            TagLeaf("promo_lover", "not_in", ("yes", "no")),
        ),
        ("{tag: promo_lover, cmp: contains, value: e}", TagLeaf("promo_lover", "contains", "e")),
        ("{attr: city, cmp: eq, value: 2017-01-01}", AttrLeaf("city", "eq", "2017-01-01")),
        (
            "{attr: home_store, cmp: in, value: [007, 1e3]}",
            AttrLeaf("home_store", "in", ("007", "1e3")),
        ),
        ("{attr: gender, cmp: ne, value: no}", AttrLeaf("gender", "ne", "no")),
        ("{attr: is_staff, cmp: ne, value: true}", AttrLeaf("is_staff", "ne", True)),
        (
            "{attr: registered_at, cmp: gte, value: 2017-01-01}",
            AttrLeaf("registered_at", "gte", date(2017, 1, 1)),
        ),
        (
            '{attr: birth_date, cmp: between, value: ["1990-01-01", 1999-12-31]}',
            AttrLeaf("birth_date", "between", (date(1990, 1, 1), date(1999, 12, 31))),
        ),
        ("{attr: birth_month, cmp: eq, value: 2}", AttrLeaf("birth_month", "eq", Decimal(2))),
        (
            "{layer: value_layer, cmp: in, value: [low, high]}",
            LayerLeaf("value_layer", "in", ("low", "high")),
        ),
        ("{segment: app_users, cmp: member}", SegmentLeaf("app_users")),
        ("{tier: gold, cmp: at_least, value: silver}", TierLeaf("gold", "at_least", "silver")),
        ("{bucket: {salt: 2024, from: 0, to: 10000}}", BucketLeaf("2024", 0, 10_000)),
        ("{all: []}", All(())),
        (
            "{any: [{not: {segment: app_users, cmp: member}}]}",
            Any((Not(SegmentLeaf("app_users")),)),
        ),
    ],
)
def test_reads_every_leaf_with_its_type(rule: str, expected: Node) -> None:
    """S09: types are decided when saved; `yes`, dates and numbers stay text where text is meant."""
    assert rule_of(rule) == expected


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("{metric: days_since_orders, cmp: gt, value: 1}", "unknown_metric"),
        ("{metric: days_since_order, cmp: contains, value: 1}", "cmp_not_allowed"),
        ("{metric: days_since_order, cmp: in, value: [1]}", "cmp_not_allowed"),
        ("{metric: days_since_order, cmp: gt, value: many}", "wrong_type"),
        ("{metric: days_since_order, cmp: gt, value: [1]}", "wrong_type"),
        ("{metric: days_since_order, cmp: gt, value: 0x10}", "wrong_type"),
        ("{metric: days_since_order, cmp: gt, value: 010}", "wrong_type"),
        ("{metric: days_since_order, cmp: gt, value: 1_000}", "wrong_type"),
        ("{metric: days_since_order, cmp: gt, value: .nan}", "wrong_type"),
        ("{metric: days_since_order, cmp: gt, value: .inf}", "wrong_type"),
        ("{metric: days_since_order, cmp: gt, value: 1234567890123456789}", "out_of_range"),
        ("{metric: days_since_order, cmp: gt, value: 1e18}", "out_of_range"),
        ("{metric: days_since_order, cmp: gt, value: 0.0000000001}", "out_of_range"),
        ("{metric: days_since_order, cmp: gt}", "missing_key"),
        ("{metric: days_since_order, value: 3}", "missing_key"),
        ("{metric: days_since_order, cmp: is_set, value: 3}", "unknown_key"),
        ("{metric: days_since_order, cmp: gt, value: 3, if_missing: skip}", "unknown_value"),
        ("{metric: days_since_order, cmp: gt, value: 3, colour: red}", "unknown_key"),
        ("{metric: days_since_order, cmp: between, value: [1]}", "wrong_type"),
        ("{metric: days_since_order, cmp: between, value: [2, 1]}", "out_of_range"),
        ("{metric: days_since_order, cmp: between, value: 2}", "wrong_type"),
        ("{tag: city, cmp: eq, value: first}", "unknown_tag_group"),
        ("{tag: city_tier, cmp: eq, value: fourth}", "unknown_tag_value"),
        ("{tag: city_tier, cmp: in, value: [first, fourth]}", "unknown_tag_value"),
        ("{tag: city_tier, cmp: in, value: first}", "wrong_type"),
        ("{tag: city_tier, cmp: in, value: []}", "out_of_range"),
        ("{tag: city_tier, cmp: gt, value: first}", "cmp_not_allowed"),
        ("{attr: town, cmp: eq, value: x}", "unknown_field"),
        ("{attr: city, cmp: gt, value: x}", "cmp_not_allowed"),
        ("{attr: city, cmp: eq, value: [x]}", "wrong_type"),
        ("{attr: registered_at, cmp: gt, value: 2017-02-30}", "wrong_type"),
        ("{attr: registered_at, cmp: gt, value: 20170201}", "wrong_type"),
        ("{attr: registered_at, cmp: ne, value: 2017-02-03}", "cmp_not_allowed"),
        ("{attr: is_staff, cmp: eq, value: yes}", "wrong_type"),
        ('{attr: is_staff, cmp: eq, value: "true"}', "wrong_type"),
        ("{attr: is_staff, cmp: is_set}", "cmp_not_allowed"),
        ("{attr: birth_month, cmp: eq, value: May}", "wrong_type"),
        ("{attr: name, cmp: is_set}", "forbidden_input"),
        ("{attr: phone, cmp: is_set}", "forbidden_input"),
        ("{attr: email, cmp: contains, value: example}", "forbidden_input"),
        ("{attr: unionid, cmp: is_set}", "forbidden_input"),
        ("{layer: value_layers, cmp: in, value: [high]}", "unknown_layer"),
        ("{layer: value_layer, cmp: in, value: [highest]}", "unknown_value"),
        ("{layer: value_layer, cmp: eq, value: high}", "cmp_not_allowed"),
        ("{segment: nobody, cmp: member}", "unknown_segment"),
        ("{segment: app_users, cmp: eq}", "cmp_not_allowed"),
        ("{segment: app_users}", "missing_key"),
        ("{tier: silver, cmp: eq, value: gold}", "unknown_program"),
        ("{tier: gold, cmp: eq, value: bronze}", "unknown_tier"),
        ("{tier: gold, cmp: gte, value: gold}", "cmp_not_allowed"),
        ("{list: vip, cmp: member}", "unknown_list"),
        ("{list: quiet_list, cmp: member}", "forbidden_input"),
        ("{list: vip_list, cmp: eq}", "cmp_not_allowed"),
        ("{list: vip_list}", "missing_key"),
        ("{list: vip_list, cmp: member, value: 1}", "unknown_key"),
        ("{score: churn, cmp: gt, value: 1}", "not_available"),
        ("{bucket: {salt: a, from: 5, to: 5}}", "out_of_range"),
        ("{bucket: {salt: a, from: 0, to: 10001}}", "out_of_range"),
        ("{bucket: {salt: a, from: -1, to: 10}}", "out_of_range"),
        ('{bucket: {salt: "", from: 0, to: 10}}', "out_of_range"),
        ("{bucket: {from: 0, to: 10}}", "missing_key"),
        ("{bucket: {salt: a, from: 0, to: 10, by: 2}}", "unknown_key"),
        ("{metrics: days_since_order, cmp: gt, value: 1}", "missing_key"),
        ("{all: [], any: []}", "wrong_type"),
        ("[]", "wrong_type"),
        ("yes", "wrong_type"),
    ],
)
def test_refuses_at_the_node(rule: str, code: str) -> None:
    """Wrong names, types and inputs are refused with the path of the node (S09)."""
    assert codes(segment(rule)) == [(RULE, code)]
    assert codes(segment(f"{{all: [{{segment: app_users, cmp: member}}, {{not: {rule}}}]}}")) == [
        (f"{RULE}/all/1/not", code)
    ]


def test_lists_in_rules() -> None:
    """Internal lists may be used in segments and rule tags, hidden ones in hidden segments only."""
    leaf = "{not: {list: %s, cmp: member}}"
    for key, visibility, expected in (
        ("vip_list", "internal", []),
        ("vip_list", "hidden", []),
        ("quiet_list", "hidden", []),
        ("quiet_list", "internal", [(f"{RULE}/not", "forbidden_input")]),
    ):
        assert codes(segment(leaf % key, visibility=visibility)) == expected, (key, visibility)
    tag = "tags: [{group: g, exclusive: true, rules: [{value: v, rule: {list: %s, cmp: member}}]}]"
    assert codes(tag % "vip_list") == []
    assert codes(tag % "quiet_list") == [("/tags/0/rules/0/rule", "forbidden_input")]
    [unknown] = problems(segment("{list: vip_lst, cmp: member}"))
    assert unknown.message == 'No list "vip_lst". Did you mean "vip_list"?'


def test_all_problems_of_a_rule_come_at_once() -> None:
    text = segment(
        "{all: [{metric: nothing, cmp: has, value: 1}, {tag: city_tier, cmp: eq, value: fifth},"
        " {any: [{attr: phone, cmp: is_set}, {segment: app_users, cmp: member, value: 1}]}]}"
    )
    assert sorted(codes(text)) == [
        (f"{RULE}/all/0", "cmp_not_allowed"),
        (f"{RULE}/all/0", "unknown_metric"),
        (f"{RULE}/all/1", "unknown_tag_value"),
        (f"{RULE}/all/2/any/0", "forbidden_input"),
        (f"{RULE}/all/2/any/1", "unknown_key"),
    ]


def test_messages_say_what_to_write_instead() -> None:
    [name] = problems(segment("{metric: days_since_ordr, cmp: gt, value: 1}"))
    assert name.message == 'No metric "days_since_ordr". Did you mean "days_since_order"?'
    [value] = problems(segment("{tag: city_tier, cmp: eq, value: Second}"))
    assert value.message == (
        'The tag group "city_tier" has no value "Second". Did you mean "second"?'
    )
    [leaf] = problems(segment("{metrics: days_since_order, cmp: gt, value: 1}"))
    assert leaf.message.endswith('Did you mean "metric"?')


def nested(depth: int) -> str:
    """A rule of exactly `depth` nodes on its longest path."""
    return "{not: " * (depth - 1) + "{segment: app_users, cmp: member}" + "}" * (depth - 1)


def test_depth_counts_nodes_to_eight() -> None:
    assert codes(segment(nested(8))) == []
    assert codes(segment(nested(9))) == [(f"{RULE}{'/not' * 8}", "too_deep")]


def test_leaves_count_to_a_hundred() -> None:
    leaf = "{segment: app_users, cmp: member}"
    assert codes(segment(f"{{any: [{', '.join([leaf] * 100)}]}}")) == []
    assert codes(segment(f"{{any: [{', '.join([leaf] * 101)}]}}")) == [(RULE, "too_many_leaves")]


def test_a_missing_boolean_is_false_and_so_never_missing() -> None:
    assert rule_of("{attr: is_staff, cmp: eq, value: false, if_missing: match}") == AttrLeaf(
        "is_staff", "eq", False
    )
