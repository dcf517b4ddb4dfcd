"""Traces and their documents: docs/algorithms/rules-and-windows.md, V92; P03."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from membership.domain.programs import Program, Tier
from membership.services.sentences import Scene, TierTrace, segment_sentence, tier_sentence
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
    Unit,
    Window,
)
from segmentation.domain.evaluate import Oracle, Setting
from segmentation.domain.explain import LeafTrace, NodeTrace, decisive, document, trace
from segmentation.domain.history import Attributes, CustomerHistory, HeldTier, Order, Tag
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

ZONE = ZoneInfo("Asia/Shanghai")
AS_OF = datetime(2018, 1, 1, tzinfo=ZONE)
D = Decimal


def metric(key: str, label: Label, fn: str, unit: Unit, window: Window) -> FactMetric:
    field = {} if fn == "days_since_last" else {"field": "net_amount", "type": "money"}
    where = {"where": FieldTest("channel", "text", "eq", "app")} if fn == "share" else {}
    return FactMetric(key, label, "orders", Aggregate(fn, **field, **where), window, unit)  # type: ignore[arg-type]


SPEND = metric("spend", Label("Net spend", "净消费"), "sum", "money", Window("days", 365))
SINCE = metric(
    "since",
    Label("Days since last order", "距上次下单天数"),
    "days_since_last",
    "days",
    Window("all"),
)
MEAN = metric("mean", Label("Mean order", "平均订单"), "avg", "money", Window("all"))
SHARE = metric("share", Label("App share", "应用占比"), "share", "ratio", Window("all"))
CATALOG = Catalog(
    tag_groups={
        "city_tier": TagGroup("city_tier", Label("City tier", "城市等级"), True, ("first",))
    },
    metrics={
        "spend": SPEND,
        "since": SINCE,
        "mean": MEAN,
        "share": SHARE,
        "growth": FormulaMetric(
            "growth", Label("Growth", "成长值"), "count", (FormulaTerm("spend", D(1)),)
        ),
    },
    layerings={
        "value": Layering("value", Label("Value", "价值"), "spend", ("low", "high"), cuts=(D(500),))
    },
    segments={
        "app": Segment(
            "app",
            Label("App users", "应用用户"),
            "service",
            "internal",
            AttrLeaf("channel", "eq", "app"),
        )
    },
)
PERSON = CustomerHistory(
    "c1",
    Attributes(channel="web", is_staff=True, birth_date=date(1990, 2, 3)),
    orders=(
        Order(datetime(2017, 12, 20, tzinfo=ZONE), D("100.00")),
        Order(datetime(2017, 12, 10, tzinfo=ZONE), D("100.00")),
        Order(datetime(2016, 1, 1, tzinfo=ZONE), D("0.00")),
    ),
    tags=(Tag("city_tier", "first"),),
)


def oracle(person: CustomerHistory = PERSON, *, held: HeldTier | None = None) -> Oracle:
    setting = Setting(
        catalog=CATALOG,
        as_of=AS_OF,
        zone=ZONE,
        currency="CNY",
        tier_ranks={"gold": {"silver": 1, "gold": 2}},
    )
    return Oracle(person, setting=setting, tiers_before={"gold": held} if held else {})


def leaf_document(node: Node, *, held: HeldTier | None = None) -> dict[str, object]:
    tree = trace(node, oracle=oracle(held=held))
    return dict(document(tree, currency="CNY", zone=ZONE))


def test_a_metric_leaf() -> None:
    """All keys of the contract, and facts, exact and gap besides (P03)."""
    assert leaf_document(MetricLeaf("spend", "gte", D("2000"))) == {
        "leaf": "metric:spend",
        "cmp": "gte",
        "value": "2000.00",
        "actual": "200.00",
        "missing": False,
        "interval": ["2017-01-01T00:00:00+08:00", "2018-01-01T00:00:00+08:00"],
        "verdict": False,
        "path": "",
        "facts": 2,
        "exact": None,
        "gap": "1800.00",
    }


@pytest.mark.parametrize(
    ("leaf", "expected"),
    [
        (
            MetricLeaf("since", "gt", D(60)),
            ("metric:since", "60", "12", [None, "2018-01-01T00:00:00+08:00"], False, 3, "48"),
        ),
        (
            MetricLeaf("mean", "between", (D("0.001"), D(70))),
            (
                "metric:mean",
                ["0.001", "70.00"],
                "66.67",
                [None, "2018-01-01T00:00:00+08:00"],
                True,
                3,
                None,
            ),
        ),
        (
            MetricLeaf("share", "lt", D("0.5")),
            (
                "metric:share",
                "0.500000",
                "0.000000",
                [None, "2018-01-01T00:00:00+08:00"],
                True,
                3,
                None,
            ),
        ),
        (
            MetricLeaf("growth", "gte", D(200)),
            ("metric:growth", "200", "200", None, True, None, None),
        ),
        (
            LayerLeaf("value", "in", ("high",)),
            ("layer:value", ["high"], "low", None, False, None, None),
        ),
        (
            TagLeaf("city_tier", "in", ("first", "second")),
            ("tag:city_tier", ["first", "second"], ["first"], None, True, None, None),
        ),
        (AttrLeaf("is_staff", "eq", True), ("attr:is_staff", True, True, None, True, None, None)),
        (
            AttrLeaf("birth_date", "gt", date(1990, 1, 1)),
            ("attr:birth_date", "1990-01-01", "1990-02-03", None, True, None, None),
        ),
        (
            AttrLeaf("birth_month", "eq", D(3)),
            ("attr:birth_month", "3", "2", None, False, None, "1"),
        ),
        (SegmentLeaf("app"), ("segment:app", True, False, None, False, None, None)),
        (
            BucketLeaf("s", 0, 10000),
            ("bucket:s", ["0", "10000"], "1738", None, True, None, None),
        ),
    ],
)
def test_each_kind_of_leaf(leaf: Node, expected: tuple[object, ...]) -> None:
    found = leaf_document(leaf)
    keys = ("leaf", "value", "actual", "interval", "verdict", "facts", "gap")
    assert tuple(found[key] for key in keys) == expected
    assert found["missing"] is False


def test_tier_leaf() -> None:
    leaf = TierLeaf("gold", "at_least", "gold")
    nobody = leaf_document(leaf)
    assert (nobody["leaf"], nobody["actual"], nobody["missing"]) == ("tier:gold", None, True)
    silver = leaf_document(leaf, held=HeldTier("silver", 1))
    assert (silver["actual"], silver["missing"], silver["verdict"]) == ("silver", False, False)


def test_missing_and_exact() -> None:
    """A missing value is null; a rounded one carries its fraction."""
    nobody = trace(MetricLeaf("mean", "gt", D(1)), oracle=oracle(CustomerHistory("c2")))
    found = document(nobody, currency="CNY", zone=ZONE)
    assert (found["actual"], found["missing"], found["verdict"]) == (None, True, False)
    assert (found["facts"], found["gap"]) == (0, "1.00")
    rounded = leaf_document(MetricLeaf("mean", "gt", D(1)))
    assert (rounded["actual"], rounded["exact"]) == ("66.67", str(Fraction(200, 3)))


RULE = All(
    (
        MetricLeaf("since", "gt", D(60)),
        Not(TagLeaf("city_tier", "in", ("first",))),
        Any((AttrLeaf("channel", "eq", "app"), AttrLeaf("channel", "eq", "web"))),
    )
)


def test_paths_are_json_pointers_into_the_rule() -> None:
    tree = trace(RULE, oracle=oracle())
    assert isinstance(tree, NodeTrace)

    def paths(found: NodeTrace | LeafTrace) -> list[str]:
        below = found.children if isinstance(found, NodeTrace) else ()
        return [found.path, *(path for child in below for path in paths(child))]

    assert paths(tree) == [
        "",
        "/all/0",
        "/all/1",
        "/all/1/not",
        "/all/2",
        "/all/2/any/0",
        "/all/2/any/1",
    ]
    written = document(tree, currency="CNY", zone=ZONE)
    assert (written["node"], written["verdict"]) == ("all", False)
    assert [child["verdict"] for child in written["children"]] == [False, False, True]


def test_decisive_leaves() -> None:
    """V92."""
    missed = decisive(trace(RULE, oracle=oracle()))
    assert [(reason.leaf.path, reason.wanted) for reason in missed] == [
        ("/all/0", True),
        ("/all/1/not", False),
    ]
    met = decisive(trace(Not(RULE), oracle=oracle()))
    assert [reason.leaf.path for reason in met] == ["/not/all/0", "/not/all/1/not"]
    choice = decisive(trace(RULE.children[2], oracle=oracle()))
    assert [reason.leaf.path for reason in choice] == ["/any/1"]


GOLD = Program("gold", Label("Gold Club", "金卡会员"), "Asia/Shanghai", ())
SILVER_TIER = Tier("silver", 1, Label("Silver", "银卡"), MetricLeaf("spend", "gte", D(150)))
GOLD_TIER = Tier("gold", 2, Label("Gold", "金卡"), MetricLeaf("spend", "gte", D(1000)))
SCENE = Scene(
    catalog=CATALOG,
    programs={"gold": GOLD},
    tiers={"gold": {"silver": SILVER_TIER.label, "gold": GOLD_TIER.label}},
    as_of=AS_OF,
    zone=ZONE,
    currency="CNY",
)
LAPSING = Segment("lapsing", Label("Lapsing", "流失预警"), "retention", "hidden", RULE)


def sentence(
    node: Node, *, verdict: bool, manual: str | None = None, objects: bool = False
) -> dict[str, str]:
    tree = trace(node, oracle=oracle())
    return dict(
        segment_sentence(
            LAPSING, verdict=verdict, tree=tree, manual=manual, objects=objects, scene=SCENE
        )
    )


ALL_TIME = "(all history, before 2018-01-01 00:00)"


@pytest.mark.parametrize(
    ("node", "verdict", "english"),
    [
        (
            MetricLeaf("since", "gt", D(60)),
            False,
            f"Not in Lapsing: Days since last order {ALL_TIME} is 12, must be above 60"
            " (as of 2018-01-01 00:00).",
        ),
        (
            MetricLeaf("spend", "gte", D(500)),
            False,
            "Not in Lapsing: Net spend (past 365 days, without today, from 2017-01-01 00:00 to"
            " before 2018-01-01 00:00) is 200.00, must be at least 500.00 (300.00 more)"
            " (as of 2018-01-01 00:00).",
        ),
        (
            Any(
                (AttrLeaf("channel", "eq", "app"), TagLeaf("city_tier", "in", ("second", "third")))
            ),
            False,
            "Not in Lapsing: Channel is web, must be equal to app; or: City tier is first, must be"
            " one of second, third (as of 2018-01-01 00:00).",
        ),
        (
            All((Not(AttrLeaf("is_staff", "eq", True)), AttrLeaf("city", "is_set", None))),
            False,
            "Not in Lapsing: Is staff is yes, must not be equal to yes; City is missing, must be"
            " present (as of 2018-01-01 00:00).",
        ),
        (
            All((LayerLeaf("value", "in", ("low",)), Not(SegmentLeaf("app")))),
            True,
            "In Lapsing: Value is low, which is equal to low; is not in App users"
            " (as of 2018-01-01 00:00).",
        ),
        (All(()), True, "In Lapsing: the rule asks for nothing (as of 2018-01-01 00:00)."),
        (
            All((AttrLeaf("channel", "contains", "ap"), AttrLeaf("city", "contains", "Ly"))),
            False,
            "Not in Lapsing: Channel is web, must contain ap; City is missing, must contain Ly"
            " (as of 2018-01-01 00:00).",
        ),
        (
            Not(AttrLeaf("channel", "contains", "we")),
            False,
            "Not in Lapsing: Channel is web, must not contain we (as of 2018-01-01 00:00).",
        ),
        (
            Not(TagLeaf("city_tier", "not_in", ("second", "third"))),
            False,
            "Not in Lapsing: City tier is first, must be one of second, third"
            " (as of 2018-01-01 00:00).",
        ),
    ],
)
def test_segment_sentences(node: Node, english: str, *, verdict: bool) -> None:
    """The values had and needed, the window in words and its interval; both languages."""
    found = sentence(node, verdict=verdict)
    assert list(found) == ["en", "zh-hans"]
    assert found["en"] == english
    assert "%(" not in found["zh-hans"]


def test_what_not_makes_of_a_comparison() -> None:
    """No double negation, in either language: not at least 100 is below 100."""
    missed = sentence(Not(MetricLeaf("spend", "gte", D(100))), verdict=False)
    assert "is 200.00, must be below 100.00" in missed["en"]
    assert "为 200.00，须小于 100.00" in missed["zh-hans"]
    met = sentence(Not(MetricLeaf("spend", "gte", D(500))), verdict=True)
    assert "is 200.00, which is below 500.00" in met["en"]
    assert "为 200.00，满足“小于 500.00”" in met["zh-hans"]


@pytest.mark.parametrize(
    ("manual", "objects", "verdict", "english"),
    [
        ("include", False, True, "In Lapsing: put in by hand (as of 2018-01-01 00:00)."),
        ("exclude", False, False, "Not in Lapsing: kept out by hand (as of 2018-01-01 00:00)."),
        (
            "include",
            True,
            False,
            "Not in Lapsing: objects to personalised decisions (as of 2018-01-01 00:00).",
        ),
    ],
)
def test_decided_by_hand(manual: str, english: str, *, objects: bool, verdict: bool) -> None:
    assert sentence(RULE, verdict=verdict, manual=manual, objects=objects)["en"] == english


def test_tier_sentences() -> None:
    """What is reached, and what the next tier lacks; Chinese labels in the Chinese one."""
    traces = [
        TierTrace(tier, trace(tier.rule, oracle=oracle())) for tier in (GOLD_TIER, SILVER_TIER)
    ]
    found = tier_sentence(GOLD, traces=traces, scene=SCENE)
    year = "(past 365 days, without today, from 2017-01-01 00:00 to before 2018-01-01 00:00)"
    assert found["en"] == (
        f"Qualifies for Silver in Gold Club: Net spend {year} is 200.00, which is at least 150.00"
        f" (as of 2018-01-01 00:00). Does not qualify for Gold in Gold Club: Net spend {year} is"
        " 200.00, must be at least 1000.00 (800.00 more) (as of 2018-01-01 00:00)."
    )
    for text in ("金卡会员", "银卡", "金卡", "净消费", "200.00", "1000.00"):
        assert text in found["zh-hans"]
    nothing = tier_sentence(GOLD, traces=[], scene=SCENE)
    assert nothing["en"] == "Gold Club has no tiers in force (as of 2018-01-01 00:00)."
