"""What is written reads back equal, for every kind of definition (case P08)."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from membership.domain.programs import ProgramVersion, Term, Tier
from membership.domain.reading import read_version
from membership.domain.writing import write_version
from segmentation.domain.definitions import (
    Aggregate,
    FactMetric,
    FieldTest,
    FilterAll,
    FilterAny,
    FilterNot,
    FormulaMetric,
    FormulaTerm,
    Label,
    Layering,
    Segment,
    TagGroup,
    TagRule,
    Window,
)
from segmentation.domain.reading import Report, build_catalog, load_text, load_value, read_entries
from segmentation.domain.rules import (
    All,
    Any,
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
from segmentation.domain.writing import (
    canonical_json,
    write_layering,
    write_metric,
    write_segment,
    write_tag_group,
)

keys = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)
texts = st.one_of(
    st.sampled_from(["yes", "null", "~", "007", "1.50", "true", "2017-01-01", " x ", "é", "高"]),
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12),
)
labels = st.builds(Label, en=texts, zh_hans=texts)
numbers = st.decimals(-(10**8), 10**8, places=9).map(lambda value: value.normalize() + 0)
days = st.dates(date(1900, 1, 1), date(2100, 1, 1))


def pairs(values: st.SearchStrategy) -> st.SearchStrategy:  # type: ignore[type-arg]
    return st.tuples(values, values).map(lambda pair: tuple(sorted(pair)))


def comparisons(kind: str) -> st.SearchStrategy[tuple[str, object]]:
    """(cmp, value) as the table of types allows them."""
    several = st.tuples(st.sampled_from(["in", "not_in"]), st.lists(texts, min_size=1).map(tuple))
    unset = st.tuples(st.sampled_from(["is_set", "is_not_set"]), st.none())
    ordering = st.sampled_from(["eq", "gt", "gte", "lt", "lte"])
    if kind == "number":
        return st.one_of(
            unset,
            st.tuples(ordering, numbers),
            st.tuples(st.just("between"), pairs(numbers)),
        )
    if kind == "date":
        return st.one_of(
            unset, st.tuples(ordering, days), st.tuples(st.just("between"), pairs(days))
        )
    if kind == "boolean":
        return st.tuples(st.sampled_from(["eq", "ne"]), st.booleans())
    if kind == "layer":
        return st.one_of(unset, several)
    return st.one_of(unset, several, st.tuples(st.sampled_from(["eq", "ne", "contains"]), texts))


def leaf(kind: type, type_: str, names: st.SearchStrategy[str]) -> st.SearchStrategy[Node]:
    return st.builds(
        lambda name, comparison, missing: kind(name, *comparison, missing),
        names,
        comparisons(type_),
        st.just(False) if type_ == "boolean" else st.booleans(),
    )


attrs = st.one_of(
    leaf(AttrLeaf, "text", st.sampled_from(["city", "channel", "home_store"])),
    leaf(AttrLeaf, "date", st.sampled_from(["registered_at", "birth_date"])),
    leaf(AttrLeaf, "boolean", st.sampled_from(["is_staff", "consent_marketing"])),
    leaf(AttrLeaf, "number", st.sampled_from(["birth_month", "days_since_registered"])),
)
buckets = st.builds(
    lambda salt, start, size: BucketLeaf(salt, start, min(start + size, 10_000)),
    texts,
    st.integers(0, 9_999),
    st.integers(1, 10_000),
)
tag_leaves = st.one_of(
    leaf(MetricLeaf, "number", keys),
    leaf(TagLeaf, "tag", keys),
    leaf(LayerLeaf, "layer", keys),
    attrs,
    buckets,
)
leaves = st.one_of(
    tag_leaves,
    st.builds(SegmentLeaf, keys),
    st.builds(ListLeaf, keys),
    st.builds(TierLeaf, keys, st.sampled_from(["at_least", "eq"]), texts),
)


def trees(leaf_: st.SearchStrategy[Node]) -> st.SearchStrategy[Node]:
    level = leaf_
    for _depth in range(3):
        several = st.lists(level, max_size=3).map(tuple)
        level = st.one_of(
            leaf_, st.builds(All, several), st.builds(Any, several), st.builds(Not, level)
        )
    return level


@st.composite
def field_tests(draw: st.DrawFn, source: str) -> FieldTest:
    if source == "events":
        name = draw(st.one_of(st.just("name"), texts.map(lambda text: f"properties.{text}")))
        type_ = "text" if name == "name" else draw(st.sampled_from(["text", "number"]))
    else:
        name, type_ = draw(
            st.sampled_from(
                [("channel", "text"), ("net_amount", "money"), ("is_promotion", "boolean")]
            )
        )
    kind = "number" if type_ == "money" else type_
    return FieldTest(name, type_, *draw(comparisons(kind)))  # type: ignore[arg-type]


def filters(source: str) -> st.SearchStrategy[object]:
    tests = field_tests(source)
    several = st.lists(tests, max_size=2).map(tuple)
    return st.one_of(
        tests,
        st.builds(FilterAll, several),
        st.builds(FilterAny, several),
        st.builds(FilterNot, tests),
    )


windows = st.one_of(
    st.builds(Window, st.sampled_from(["days", "months"]), st.integers(1, 1_000), st.booleans()),
    st.builds(Window, st.just("hours"), st.integers(1, 1_000)),
    st.builds(
        Window,
        st.just("calendar"),
        calendar=st.sampled_from(["year", "quarter", "month"]),
        offset=st.integers(-20, 0),
    ),
    st.just(Window("all")),
)


@st.composite
def fact_metrics(draw: st.DrawFn) -> FactMetric:
    source = draw(st.sampled_from(["orders", "events", "referrals"]))
    if source == "orders":
        aggregate = draw(
            st.one_of(
                st.just(Aggregate("sum", "net_amount", "money")),
                st.just(Aggregate("days_since_last")),
                st.builds(
                    lambda where: Aggregate("share", "amount", "money", where), filters("orders")
                ),
            )
        )
    elif source == "events":
        aggregate = draw(
            st.sampled_from(
                [
                    Aggregate("count"),
                    Aggregate("avg", "properties.n", "number"),
                    Aggregate("count_distinct", "properties.page", "text"),
                ]
            )
        )
    else:
        aggregate = draw(
            st.sampled_from([Aggregate("count"), Aggregate("count", converted_within_days=30)])
        )
    time = draw(st.sampled_from(["placed_at", "paid_at"])) if source == "orders" else "placed_at"
    has_filter = source != "referrals" and draw(st.booleans())
    return FactMetric(
        key=draw(keys),
        label=draw(labels),
        source=source,
        aggregate=aggregate,
        window=draw(windows),
        unit=draw(st.sampled_from(["money", "count", "days", "ratio"])),
        time=time,
        matured_days=draw(st.none() | st.integers(0, 100)),
        filter=draw(filters(source)) if has_filter else None,  # type: ignore[arg-type]
        value_kind=draw(st.none() | st.sampled_from(["activity", "margin"])),
    )


formulas = st.builds(
    FormulaMetric,
    key=keys,
    label=labels,
    unit=st.sampled_from(["money", "count"]),
    terms=st.lists(
        st.builds(FormulaTerm, keys, numbers, st.none() | numbers), min_size=1, max_size=4
    ).map(tuple),
)
rising = st.lists(numbers, min_size=1, max_size=4, unique=True).map(
    lambda cuts: tuple(sorted(cuts))
)
parts = st.lists(st.decimals("0.1", "99.9", places=1), min_size=1, max_size=4, unique=True).map(
    lambda cuts: tuple(sorted(cuts))
)


@st.composite
def layerings(draw: st.DrawFn) -> Layering:
    is_percentile = draw(st.booleans())
    cuts = draw(parts if is_percentile else rising)
    count = len(cuts) + 1
    layers = tuple(draw(st.lists(texts, min_size=count, max_size=count, unique=True)))
    if is_percentile:
        return Layering(draw(keys), draw(labels), draw(keys), layers, percentiles=cuts)
    return Layering(draw(keys), draw(labels), draw(keys), layers, cuts=cuts)


@st.composite
def tag_groups(draw: st.DrawFn) -> TagGroup:
    rules: tuple[TagRule, ...] = ()
    if draw(st.booleans()):
        rules = tuple(
            draw(st.lists(st.builds(TagRule, texts, trees(tag_leaves)), min_size=1, max_size=3))
        )
        values = tuple(dict.fromkeys(rule.value for rule in rules))
    else:
        values = tuple(draw(st.lists(texts, min_size=1, max_size=4, unique=True)))
    flags = [draw(st.booleans()) for _ in range(3)]
    return TagGroup(draw(keys), draw(labels), flags[0], values, flags[1], flags[2], rules)


segments = st.builds(
    Segment,
    key=keys,
    label=labels,
    purpose=st.sampled_from(["retention", "service"]),
    visibility=st.sampled_from(["hidden", "internal"]),
    rule=trees(leaves),
)
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow], deadline=None)


def read_back(section: str, document: dict[str, object]) -> object:
    """The definition that is read from the written document, as data and as text."""
    found = []
    for place in (
        load_value({section: [document]}, Report()),
        load_text(canonical_json({section: [document]}), Report(), name="a.json"),
        load_text(json.dumps({section: [document]}), Report(), name="a.yaml"),
    ):
        assert place is not None
        entries = read_entries(place.fields((section,)) or {})
        assert place.report.problems == []
        catalog = build_catalog(entries)
        kinds = (catalog.tag_groups, catalog.metrics, catalog.layerings, catalog.segments)
        [definition] = [item for kind in kinds for item in kind.values()]
        found.append(definition)
    assert found[0] == found[1] == found[2]
    return found[0]


@quick
@given(st.one_of(fact_metrics(), formulas))
def test_metrics(metric: FactMetric | FormulaMetric) -> None:
    assert read_back("metrics", write_metric(metric)) == metric


@quick
@given(tag_groups())
def test_tag_groups(group: TagGroup) -> None:
    assert read_back("tags", write_tag_group(group)) == group


@quick
@given(layerings())
def test_layerings(layering: Layering) -> None:
    assert read_back("layerings", write_layering(layering)) == layering


@quick
@given(segments)
def test_segments(segment: Segment) -> None:
    assert read_back("segments", write_segment(segment)) == segment


terms = st.builds(Term, st.integers(0, 9), st.integers(0, 30), st.integers(0, 90))


@quick
@given(
    st.builds(
        ProgramVersion,
        number=st.just(0),
        effective_from=days,
        tiers=st.lists(
            st.builds(Tier, keys, st.integers(1, 99), labels, trees(tag_leaves)),
            min_size=1,
            max_size=3,
            unique_by=(lambda tier: tier.key, lambda tier: tier.rank),
        ).map(lambda tiers: tuple(sorted(tiers, key=lambda tier: tier.rank))),
        keep_for=st.none() | terms.filter(lambda term: term != Term()),
        grace=terms,
        downgrade=st.sampled_from(["one_level", "by_value"]),
    )
)
def test_program_versions(version: ProgramVersion) -> None:
    report = Report()
    assert read_version(load_value(write_version(version), report), []) == version
    assert report.problems == []


@given(numbers)
def test_equal_numbers_are_written_alike(number: Decimal) -> None:
    leaf_ = MetricLeaf("m", "eq", number)
    padded = MetricLeaf("m", "eq", number.quantize(Decimal("1E-12")))
    segment = Segment("s", Label("s", "s"), "service", "internal", leaf_)
    other = Segment("s", Label("s", "s"), "service", "internal", padded)
    assert canonical_json(write_segment(segment)) == canonical_json(write_segment(other))
