"""Leaves and segments of the oracle: docs/algorithms/rules-and-windows.md, cases by number."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest

from segmentation.domain import rules
from segmentation.domain.definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    Label,
    Layering,
    Segment,
    TagGroup,
    TagRule,
    Window,
)
from segmentation.domain.evaluate import (
    Oracle,
    Setting,
    bucket,
    evaluate_customer,
    percentile_cuts,
    qualifying_tier,
)
from segmentation.domain.history import Attributes, CustomerHistory, Event, HeldTier, Order, Tag
from segmentation.domain.rules import (
    AttrLeaf,
    BucketLeaf,
    LayerLeaf,
    ListLeaf,
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
NAME = Label("x", "x")


def metric(key: str, fn: str, **options: object) -> FactMetric:
    return FactMetric(
        key,
        NAME,
        "orders",
        Aggregate(fn, **options),
        Window("all"),
        "count",  # type: ignore[arg-type]
    )


def oracle(
    history: CustomerHistory | None = None,
    *,
    catalog: Catalog | None = None,
    tiers_before: dict[str, HeldTier] | None = None,
    cuts: dict[str, tuple[Fraction, ...]] | None = None,
) -> Oracle:
    setting = Setting(
        catalog=catalog or Catalog(),
        as_of=AS_OF,
        zone=ZONE,
        currency="CNY",
        cuts=cuts or {},
        tier_ranks={"gold": {"silver": 1, "gold": 2}},
    )
    return Oracle(history or CustomerHistory("c1"), setting=setting, tiers_before=tiers_before)


SPENT = Catalog(metrics={"spent": metric("spent", "avg", field="amount", type="money")})


def spent(*amounts: str) -> CustomerHistory:
    orders = tuple(Order(datetime(2017, 5, 1, tzinfo=UTC), D(amount)) for amount in amounts)
    return CustomerHistory("c1", orders=orders)


NUMBER_TABLE = [
    # cmp, value, verdict at 10, verdict when missing
    ("eq", D(10), True, False),
    ("eq", D("10.01"), False, False),
    ("ne", D(10), False, False),
    ("ne", D(9), True, False),
    ("gt", D(10), False, False),
    ("gt", D("9.99"), True, False),
    ("gte", D(10), True, False),
    ("gte", D("10.01"), False, False),
    ("lt", D(10), False, False),
    ("lt", D("10.01"), True, False),
    ("lte", D(10), True, False),
    ("lte", D("9.99"), False, False),
    ("between", (D(10), D(12)), True, False),
    ("between", (D(8), D(10)), True, False),
    ("between", (D("10.01"), D(12)), False, False),
    ("is_set", None, True, False),
    ("is_not_set", None, False, True),
]


@pytest.mark.parametrize(("cmp", "value", "at_ten", "at_missing"), NUMBER_TABLE)
def test_number_operators(
    cmp: rules.Cmp, value: rules.Value, *, at_ten: bool, at_missing: bool
) -> None:
    """C01 to C17, S13: each operator on a value and a missing one, with and without if_missing."""
    leaf = MetricLeaf("spent", cmp, value)
    assert oracle(spent("10"), catalog=SPENT).holds(leaf) is at_ten
    assert oracle(spent(), catalog=SPENT).holds(leaf) is at_missing
    forgiving = MetricLeaf("spent", cmp, value, if_missing=True)
    assert oracle(spent("10"), catalog=SPENT).holds(forgiving) is at_ten
    assert oracle(spent(), catalog=SPENT).holds(forgiving) is True


def test_numbers_compare_exactly() -> None:
    """V01 to V04: an average of a third is neither 0.33 nor 0.333333."""
    third = oracle(spent("1", "0", "0"), catalog=SPENT)
    assert third.metric("spent") == Fraction(1, 3)
    assert not third.holds(MetricLeaf("spent", "eq", D("0.333333")))
    assert third.holds(MetricLeaf("spent", "gt", D("0.333333")))
    assert third.holds(MetricLeaf("spent", "lt", D("0.333334")))
    tenth = oracle(spent("0.10", "0.10", "0.10"), catalog=SPENT)
    assert tenth.holds(MetricLeaf("spent", "eq", D("0.1")))


TEXT_TABLE = [
    ("eq", "Lyon", True),
    ("eq", "lyon", False),
    ("ne", "Lyon", False),
    ("ne", "Paris", True),
    ("in", ("Paris", "Lyon"), True),
    ("in", ("Paris",), False),
    ("not_in", ("Paris",), True),
    ("not_in", ("Paris", "Lyon"), False),
    ("contains", "yo", True),
    ("contains", "Yo", False),
    ("is_set", None, True),
    ("is_not_set", None, False),
]


@pytest.mark.parametrize(("cmp", "value", "verdict"), TEXT_TABLE)
def test_text_operators(cmp: rules.Cmp, value: rules.Value, *, verdict: bool) -> None:
    """C21 to C32, S13: value, missing and empty text (which is missing)."""
    leaf = AttrLeaf("city", cmp, value)
    assert oracle(CustomerHistory("c", Attributes(city="Lyon"))).holds(leaf) is verdict
    for absent in (None, ""):
        person = oracle(CustomerHistory("c", Attributes(city=absent)))
        assert person.holds(leaf) is (cmp == "is_not_set")
        assert person.holds(Not(leaf)) is (cmp != "is_not_set")
        assert person.holds(AttrLeaf("city", cmp, value, if_missing=True)) is True


DATE_TABLE = [
    ("eq", date(2017, 5, 2), True),
    ("gt", date(2017, 5, 1), True),
    ("gt", date(2017, 5, 2), False),
    ("gte", date(2017, 5, 2), True),
    ("lt", date(2017, 5, 2), False),
    ("lte", date(2017, 5, 2), True),
    ("between", (date(2017, 5, 2), date(2017, 5, 3)), True),
    ("between", (date(2017, 5, 3), date(2017, 5, 4)), False),
    ("is_set", None, True),
    ("is_not_set", None, False),
]


@pytest.mark.parametrize(("cmp", "value", "verdict"), DATE_TABLE)
def test_date_operators(cmp: rules.Cmp, value: rules.Value, *, verdict: bool) -> None:
    """C41 to C52: registered_at and consent_at are local dates, birth_date a date as it is."""
    # 17:00 UTC is 01:00 of the next day in Shanghai.
    instant = datetime(2017, 5, 1, 17, tzinfo=UTC)
    known = Attributes(registered_at=instant, consent_at=instant, birth_date=date(2017, 5, 2))
    for attr in rules.DATE_ATTRS:
        leaf = AttrLeaf(attr, cmp, value)
        assert oracle(CustomerHistory("c", known)).holds(leaf) is verdict
        assert oracle().holds(leaf) is (cmp == "is_not_set")


@pytest.mark.parametrize("attr", rules.BOOLEAN_ATTRS)
@pytest.mark.parametrize(("recorded", "is_true"), [(True, True), (False, False), (None, False)])
def test_missing_boolean_is_false(attr: str, recorded: bool | None, *, is_true: bool) -> None:
    """C53 to C57."""
    person = oracle(CustomerHistory("c", Attributes(**{attr: recorded})))
    for value in (True, False):
        assert person.holds(AttrLeaf(attr, "eq", value)) is (is_true is value)
        assert person.holds(AttrLeaf(attr, "ne", value)) is (is_true is not value)


def test_number_attributes() -> None:
    """V11 to V14: birth month, and local dates since registration (also when it lies ahead)."""
    registered = datetime(2017, 12, 30, 16, tzinfo=UTC)  # 31 December in Shanghai
    person = oracle(
        CustomerHistory("c", Attributes(registered_at=registered, birth_date=date(2000, 2, 29)))
    )
    assert person.attribute("birth_month") == 2
    assert person.attribute("days_since_registered") == 1
    assert oracle().attribute("birth_month") is None
    assert oracle().attribute("days_since_registered") is None
    later = CustomerHistory("c", Attributes(registered_at=AS_OF + timedelta(days=3)))
    assert oracle(later).attribute("days_since_registered") == -3


GROUPS = Catalog(tag_groups={"hobby": TagGroup("hobby", NAME, False, ("tea", "chess", "go"))})
TAG_TABLE = [
    # cmp, value, verdict with (tea, chess), verdict without any
    ("in", ("chess", "go"), True, False),
    ("in", ("go",), False, False),
    ("eq", "tea", True, False),
    ("eq", "go", False, False),
    ("not_in", ("go",), True, False),
    ("not_in", ("go", "tea"), False, False),
    ("ne", "go", True, False),
    ("ne", "tea", False, False),
    ("contains", "hes", True, False),
    ("contains", "go", False, False),
    ("is_set", None, True, False),
    ("is_not_set", None, False, True),
]


@pytest.mark.parametrize(("cmp", "value", "verdict", "without"), TAG_TABLE)
def test_tag_operators(cmp: rules.Cmp, value: rules.Value, *, verdict: bool, without: bool) -> None:
    """C61 to C72, S13: several values, none, and only expired ones."""
    leaf = TagLeaf("hobby", cmp, value)
    both = CustomerHistory("c", tags=(Tag("hobby", "chess"), Tag("hobby", "tea")))
    assert oracle(both, catalog=GROUPS).holds(leaf) is verdict
    assert oracle(catalog=GROUPS).holds(leaf) is without
    expired = CustomerHistory("c", tags=(Tag("hobby", "tea", AS_OF),))
    assert oracle(expired, catalog=GROUPS).holds(leaf) is without
    assert oracle(catalog=GROUPS).holds(TagLeaf("hobby", cmp, value, if_missing=True)) is True


def test_a_tag_is_there_until_the_instant_it_expires() -> None:
    """V41 to V43: expires_at <= as-of is absent; values come in the group's order."""
    just = Tag("hobby", "go", AS_OF + timedelta(microseconds=1))
    person = CustomerHistory("c", tags=(just, Tag("hobby", "tea"), Tag("other", "chess")))
    assert oracle(person, catalog=GROUPS).tags("hobby") == ("tea", "go")


@pytest.mark.parametrize(("exclusive", "values"), [(True, ("few",)), (False, ("few", "some"))])
def test_rule_tags(*, exclusive: bool, values: tuple[str, ...]) -> None:
    """V46 to V50: an exclusive group takes the first rule that matches, else every one;
    recorded tags of a rule group do not count."""
    group = TagGroup(
        "size",
        NAME,
        exclusive,
        ("many", "few", "some"),
        rules=(
            TagRule("many", MetricLeaf("spent", "gte", D(100))),
            TagRule("few", MetricLeaf("spent", "gte", D(10))),
            TagRule("some", MetricLeaf("spent", "gte", D(1))),
            TagRule("few", MetricLeaf("spent", "gte", D(2))),
        ),
    )
    catalog = Catalog(tag_groups={"size": group}, metrics=SPENT.metrics)
    recorded = (Tag("size", "many"),)
    person = CustomerHistory("c", orders=spent("20").orders, tags=recorded)
    assert oracle(person, catalog=catalog).tags("size") == values
    nobody = CustomerHistory("c", tags=recorded)
    assert oracle(nobody, catalog=catalog).tags("size") == ()


LAYERS = ("low", "middle", "high")


@pytest.mark.parametrize(
    ("amount", "cuts", "layer"),
    [
        ("499.99", (D(500), D(2000)), "low"),
        ("500", (D(500), D(2000)), "middle"),
        ("1999.99", (D(500), D(2000)), "middle"),
        ("2000", (D(500), D(2000)), "high"),
        ("-1", (D(0), D(0)), "low"),
        ("0", (D(0), D(0)), "high"),
    ],
)
def test_layer_at_its_cuts(amount: str, cuts: tuple[Decimal, ...], layer: str) -> None:
    """V21 to V27, V33: at a cut is above it; equal cuts give the highest layer."""
    for fixed in (True, False):
        layering = Layering(
            "value",
            NAME,
            "spent",
            LAYERS,
            cuts=cuts if fixed else (),
            percentiles=() if fixed else (D(30), D(60)),
        )
        catalog = Catalog(metrics=SPENT.metrics, layerings={"value": layering})
        person = oracle(
            spent(amount), catalog=catalog, cuts={"value": tuple(Fraction(cut) for cut in cuts)}
        )
        assert person.layer("value") == layer
        assert person.holds(LayerLeaf("value", "in", (layer,)))
        assert not person.holds(LayerLeaf("value", "not_in", (layer,)))
        assert person.holds(LayerLeaf("value", "is_set", None))


def test_no_layer_without_a_value() -> None:
    """C81 to C86, V27."""
    layering = Layering("value", NAME, "spent", LAYERS, cuts=(D(500), D(2000)))
    person = oracle(catalog=Catalog(metrics=SPENT.metrics, layerings={"value": layering}))
    assert person.layer("value") is None
    assert not person.holds(LayerLeaf("value", "in", LAYERS))
    assert not person.holds(LayerLeaf("value", "not_in", ("low",)))
    assert person.holds(LayerLeaf("value", "is_not_set", None))
    assert person.holds(LayerLeaf("value", "in", ("low",), if_missing=True))


@pytest.mark.parametrize(
    ("values", "percentiles", "cuts"),
    [
        (range(1, 11), (20, 40, 60, 80), (3, 5, 7, 9)),
        (range(1, 10), (20, 40, 60, 80), (2, 4, 6, 8)),
        ((5,), (50, 99), (5, 5)),
        ((9, 1, 5), ("33.4", "66.6", "66.7"), (5, 5, 9)),
        ((0, 0, 0, 0, 7), (20, 80), (0, 7)),
        ((1, 2, 3), ("99.999",), (3,)),
        ((), (20, 80), ()),
    ],
)
def test_percentile_cuts(
    values: tuple[int, ...], percentiles: tuple[object, ...], cuts: tuple[int, ...]
) -> None:
    """V31 to V37: the value of rank floor(p/100 * n) + 1, at most n."""
    found = percentile_cuts(map(Fraction, values), (D(str(p)) for p in percentiles))
    assert found == tuple(map(Fraction, cuts))


def segment(key: str, rule: Node, *, visibility: str = "internal") -> Segment:
    return Segment(key, NAME, "retention", visibility, rule)  # type: ignore[arg-type]


IN_LYON = AttrLeaf("city", "eq", "Lyon")


@pytest.mark.parametrize("city", ["Lyon", "Paris"])
@pytest.mark.parametrize("included", [False, True])
@pytest.mark.parametrize("excluded", [False, True])
@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("visibility", ["internal", "hidden"])
def test_manual_members_and_objections(
    city: str, visibility: str, *, included: bool, excluded: bool, objects: bool
) -> None:
    """V51 to V59, S16: after the rule include, then exclude; an objection takes the customer
    out of every hidden segment. What other segments read is that result."""
    catalog = Catalog(
        segments={
            "lyon": segment("lyon", IN_LYON, visibility=visibility),
            "parent": segment("parent", SegmentLeaf("lyon"), visibility=visibility),
            "others": segment("others", Not(SegmentLeaf("lyon"))),
        }
    )
    key = frozenset({"lyon"})
    person = CustomerHistory(
        "c",
        Attributes(city=city),
        included=key if included else frozenset(),
        excluded=key if excluded else frozenset(),
        objects=objects,
    )
    expected = (city == "Lyon" or included) and not excluded
    if objects and visibility == "hidden":
        expected = False
    found = oracle(person, catalog=catalog)
    assert found.in_segment("lyon") is expected
    assert found.in_segment("parent") is expected
    assert found.in_segment("others") is not expected


@pytest.mark.parametrize(
    ("held", "cmp", "tier", "verdict"),
    [
        (None, "at_least", "silver", False),
        (None, "eq", "silver", False),
        (HeldTier("silver", 1), "at_least", "silver", True),
        (HeldTier("silver", 1), "at_least", "gold", False),
        (HeldTier("gold", 2), "at_least", "silver", True),
        (HeldTier("gold", 2), "eq", "silver", False),
        (HeldTier("gold", 2), "eq", "gold", True),
    ],
)
def test_tier_leaf(held: HeldTier | None, cmp: rules.Cmp, tier: str, *, verdict: bool) -> None:
    """V71 to V77: reads the membership before the run."""
    before = {"gold": held} if held else {}
    assert oracle(tiers_before=before).holds(TierLeaf("gold", cmp, tier)) is verdict


def test_bucket() -> None:
    """V61 to V64: the first 8 bytes, big-endian, of HMAC-SHA256(salt, external id), mod 10000."""
    digest = hmac.new(b"spring", "客户1".encode(), hashlib.sha256).digest()
    number = int.from_bytes(digest[:8], "big") % 10000
    assert bucket("spring", "客户1") == number == 938
    person = oracle(CustomerHistory("客户1"))
    assert person.holds(BucketLeaf("spring", number, number + 1))
    assert not person.holds(BucketLeaf("spring", 0, number))
    assert not person.holds(BucketLeaf("spring", number + 1, 10000))
    assert person.holds(BucketLeaf("spring", 0, 10000))


def test_lists() -> None:
    """V60: on the list or not; a list that nobody ever filled has nobody."""
    person = oracle(CustomerHistory("c", lists=frozenset({"vip"})))
    assert person.holds(ListLeaf("vip"))
    assert not person.holds(Not(ListLeaf("vip")))
    assert not person.holds(ListLeaf("other"))


def test_highest_rank_whose_rule_holds() -> None:
    """V81 to V85: also when a lower tier's rule does not hold."""
    tiers: dict[str, tuple[int, Node]] = {
        "gold": (2, IN_LYON),
        "silver": (1, AttrLeaf("city", "eq", "Paris")),
        "black": (3, AttrLeaf("city", "eq", "Rome")),
    }
    for city, tier in [("Lyon", "gold"), ("Paris", "silver"), ("Rome", "black"), ("Oslo", None)]:
        person = oracle(CustomerHistory("c", Attributes(city=city)))
        assert qualifying_tier(tiers, oracle=person) == tier


def test_each_member_leaves_on_the_exact_day() -> None:
    """S10: facts frozen, the clock goes on day by day, with every window of 1 to 20 days."""
    catalog = Catalog(
        metrics={
            f"visits_{days}": FactMetric(
                f"visits_{days}",
                NAME,
                "events",
                Aggregate("count"),
                Window("days", days, to_now=True),
                "count",
            )
            for days in range(1, 21)
        },
        segments={
            f"visited_{days}": segment(f"visited_{days}", MetricLeaf(f"visits_{days}", "gt", D(0)))
            for days in range(1, 21)
        },
    )
    last = datetime(2018, 3, 10, 23, 59, 59, tzinfo=ZoneInfo("America/New_York"))
    person = CustomerHistory("c", events=(Event("visit", last),))
    zone = ZoneInfo("America/New_York")
    for later in range(25):
        day = date(2018, 3, 10) + timedelta(days=later)
        as_of = datetime(day.year, day.month, day.day, 23, 59, 59, 1, tzinfo=zone)
        setting = Setting(catalog=catalog, as_of=as_of, zone=zone, currency="USD")
        members = evaluate_customer(person, setting=setting).segments
        for days in range(1, 21):
            assert members[f"visited_{days}"] is (later < days)
