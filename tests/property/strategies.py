"""Generated catalogs: every kind of metric, layering, tag group, leaf and segment.

The values are chosen so that they meet those of `strategies_world`: few texts, small numbers,
windows whose ends the world's times cluster around.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any as Anything

from hypothesis import strategies as st

from segmentation.domain.definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    FieldTest,
    FieldType,
    Filter,
    FilterAll,
    FilterAny,
    FilterNot,
    FormulaMetric,
    FormulaTerm,
    Label,
    Layering,
    Metric,
    Segment,
    TagGroup,
    TagRule,
    Window,
)
from segmentation.domain.reading.fields import FIELDS
from segmentation.domain.rules import (
    BOOLEAN_ATTRS,
    BOOLEAN_CMPS,
    DATE_ATTRS,
    DATE_CMPS,
    LAYER_CMPS,
    NUMBER_ATTRS,
    NUMBER_CMPS,
    TAG_CMPS,
    TEXT_ATTRS,
    TEXT_CMPS,
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

from .strategies_world import INTERESTING_DAYS, LISTS, PROPERTIES, TEXTS

Draw = Callable[[st.SearchStrategy[Anything]], Anything]

LABEL = Label("x", "x")
# The imported tag groups of every catalog.
IMPORTED = {
    "city_tier": TagGroup("city_tier", LABEL, exclusive=True, values=("first", "second")),
    "likes": TagGroup("likes", LABEL, exclusive=False, values=("b", "ab", "c")),
}
TIER_RANKS = {"gold": {"silver": 1, "gold": 2, "top": 3}}
TIERS = [("gold", "silver"), ("gold", "gold"), ("gold", "top"), ("sleeping", "gold")]

NUMBERS = [
    Decimal(text)
    for text in ("0", "1", "2", "3", "7", "0.5", "1.5", "0.333333", "0.01", "33.33", "100", "-1",
                 "0.0001", "0.00001", "1000", "100000000000000000000")
]  # fmt: skip
numbers = st.sampled_from(NUMBERS)

windows = st.one_of(
    st.builds(Window, st.just("days"), st.sampled_from((1, 2, 7, 30)), st.booleans()),
    st.builds(Window, st.just("months"), st.sampled_from((1, 2, 12, 13)), st.booleans()),
    st.builds(Window, st.just("hours"), st.sampled_from((1, 23, 24, 25, 48))),
    st.builds(
        Window,
        st.just("calendar"),
        calendar=st.sampled_from(("year", "quarter", "month")),
        offset=st.sampled_from((0, -1, -2, -12)),
    ),
    st.just(Window("all")),
)


def operands(cmps: Sequence[str], values: Sequence[Anything]) -> st.SearchStrategy[Anything]:
    """`(cmp, value)` pairs as the reader makes them."""
    one = st.sampled_from(list(values))

    def value_for(cmp: str) -> st.SearchStrategy[Anything]:
        if cmp in ("is_set", "is_not_set"):
            return st.none()
        if cmp == "between":
            return st.tuples(one, one).map(lambda pair: tuple(sorted(pair)))
        if cmp in ("in", "not_in"):
            return st.lists(one, min_size=1, max_size=2, unique=True).map(tuple)
        return one

    return st.sampled_from(list(cmps)).flatmap(lambda cmp: st.tuples(st.just(cmp), value_for(cmp)))


_OPERANDS: dict[str, st.SearchStrategy[Anything]] = {
    "money": operands(NUMBER_CMPS, NUMBERS),
    "number": operands(NUMBER_CMPS, NUMBERS),
    "text": operands(TEXT_CMPS, [text for text in TEXTS if text]),
    "boolean": operands(BOOLEAN_CMPS, (True, False)),
}


def source_fields(source: str) -> list[tuple[str, FieldType]]:
    """Every field of a source that a definition may name, with each type it can be read as."""
    found: list[tuple[str, FieldType]] = list(FIELDS[source].items())
    if source == "events":
        for key in PROPERTIES:
            found += [(f"properties.{key}", "text"), (f"properties.{key}", "number")]
    return found


@st.composite
def field_tests(draw: Draw, source: str) -> FieldTest:
    field, kind = draw(st.sampled_from(source_fields(source)))
    cmp, value = draw(_OPERANDS[kind])
    return FieldTest(field, kind, cmp, value)


_FILTERS: dict[str, st.SearchStrategy[Filter]] = {
    source: st.recursive(
        field_tests(source),
        lambda children: st.one_of(
            st.lists(children, min_size=1, max_size=2).map(lambda found: FilterAll(tuple(found))),
            st.lists(children, min_size=1, max_size=2).map(lambda found: FilterAny(tuple(found))),
            children.map(FilterNot),
        ),
        max_leaves=3,
    )
    for source in ("orders", "order_lines", "events")
}

_ANY_FACT = ("count", "active_days", "days_since_last", "days_since_first")
_NUMERIC = ("sum", "avg", "min", "max", "share")


@st.composite
def aggregates(draw: Draw, source: str) -> Aggregate:
    if source == "referrals":
        fn = draw(st.sampled_from(("converted", *_ANY_FACT)))
        if fn == "converted":
            return Aggregate("count", converted_within_days=draw(st.sampled_from((0, 1, 2, 30))))
        return Aggregate(fn)
    fn = draw(st.sampled_from((*_NUMERIC, "count_distinct", *_ANY_FACT)))
    if fn in _ANY_FACT:
        return Aggregate(fn)
    fields = source_fields(source)
    if fn in _NUMERIC:
        fields = [(name, kind) for name, kind in fields if kind in ("money", "number")]
        # Half of them net amounts: they depend on more than any other field.
        fields += [("net_amount", "money")] * (len(fields) - 1 if source != "events" else 0)
    field, kind = draw(st.sampled_from(fields))
    where = draw(_FILTERS[source]) if fn == "share" else None
    return Aggregate(fn, field, kind, where)


@st.composite
def fact_metrics(draw: Draw, key: str) -> FactMetric:
    source = draw(st.sampled_from(("orders", "order_lines", "events", "referrals")))
    timed = source in ("orders", "order_lines")
    times = ("placed_at", "placed_at", "paid_at", "completed_at") if timed else ("placed_at",)
    filtered = source != "referrals" and draw(st.booleans())
    return FactMetric(
        key=key,
        label=LABEL,
        source=source,
        aggregate=draw(aggregates(source)),
        window=draw(windows),
        unit="ratio",
        time=draw(st.sampled_from(times)),
        matured_days=draw(st.sampled_from((None, None, None, 0, 1, 7))),
        filter=draw(_FILTERS[source]) if filtered else None,
    )


terms_of = st.sampled_from(["1", "-1", "20", "0.5", "-0.25", "0.0003", "0"])
caps_of = st.sampled_from([None, None, "500", "0", "0.5", "-2", "1.25"])


def base_fractions(metrics: dict[str, Metric], key: str) -> set[str]:
    """The averages and shares a metric is made of (a formula may be made of two at most)."""
    metric = metrics[key]
    if isinstance(metric, FactMetric):
        return {key} if metric.is_fraction else set()
    return {name for term in metric.terms for name in base_fractions(metrics, term.metric)}


@st.composite
def formulas(draw: Draw, key: str, metrics: dict[str, Metric]) -> FormulaMetric:
    fractions: set[str] = set()
    terms = []
    chosen = draw(st.lists(st.sampled_from(sorted(metrics)), min_size=1, max_size=4))
    for name in chosen:
        if len(fractions | base_fractions(metrics, name)) > 2:
            continue
        fractions |= base_fractions(metrics, name)
        cap = draw(caps_of)
        terms.append(
            FormulaTerm(name, Decimal(draw(terms_of)), None if cap is None else Decimal(cap))
        )
    return FormulaMetric(key, LABEL, "ratio", tuple(terms))


@st.composite
def layerings(draw: Draw, key: str, metrics: Sequence[str]) -> Layering:
    count = draw(st.integers(1, 3))
    layers = tuple(f"l{position}" for position in range(count + 1))
    metric = draw(st.sampled_from(list(metrics)))
    if draw(st.booleans()):
        marks = st.sampled_from([Decimal(p) for p in ("0.5", "20", "25", "33.3", "50", "75", "99")])
        found = draw(st.lists(marks, min_size=count, max_size=count, unique=True))
        return Layering(key, LABEL, metric, layers, percentiles=tuple(sorted(found)))
    found = draw(st.lists(numbers, min_size=count, max_size=count, unique=True))
    return Layering(key, LABEL, metric, layers, cuts=tuple(sorted(found)))


_ATTR_OPERANDS = (
    *((name, _OPERANDS["text"]) for name in TEXT_ATTRS),
    *((name, operands(DATE_CMPS, INTERESTING_DAYS)) for name in DATE_ATTRS),
    *((name, _OPERANDS["boolean"]) for name in BOOLEAN_ATTRS),
    *((name, _OPERANDS["number"]) for name in NUMBER_ATTRS),
)


@st.composite
def attr_leaves(draw: Draw) -> AttrLeaf:
    name, operand = draw(st.sampled_from(_ATTR_OPERANDS))
    cmp, value = draw(operand)
    return AttrLeaf(name, cmp, value, name not in BOOLEAN_ATTRS and draw(st.booleans()))


@st.composite
def tag_leaves(draw: Draw, groups: dict[str, TagGroup]) -> TagLeaf:
    group = groups[draw(st.sampled_from(sorted(groups)))]
    cmp, value = draw(operands(TAG_CMPS, group.values))
    if cmp == "contains":
        value = value[:1]
    return TagLeaf(group.key, cmp, value, draw(st.booleans()))


@st.composite
def layer_leaves(draw: Draw, known: dict[str, Layering]) -> LayerLeaf:
    layering = known[draw(st.sampled_from(sorted(known)))]
    cmp, value = draw(operands(LAYER_CMPS, layering.layers))
    return LayerLeaf(layering.key, cmp, value, draw(st.booleans()))


@st.composite
def metric_leaves(draw: Draw, keys: Sequence[str]) -> MetricLeaf:
    cmp, value = draw(_OPERANDS["number"])
    return MetricLeaf(draw(st.sampled_from(list(keys))), cmp, value, draw(st.booleans()))


bucket_leaves = st.builds(
    lambda salt, ends: BucketLeaf(salt, min(ends), max(ends)),
    st.sampled_from(("s1", "S1", "盐")),
    st.tuples(*[st.sampled_from((0, 2_500, 5_000, 7_500, 10_000))] * 2),
)
tier_leaves = st.builds(
    lambda tier, cmp: TierLeaf(tier[0], cmp, tier[1]),
    st.sampled_from(TIERS),
    st.sampled_from(("at_least", "eq")),
)


def nodes(
    metrics: Sequence[str],
    groups: dict[str, TagGroup],
    known_layerings: dict[str, Layering],
    segments: Sequence[str] = (),
    *,
    most: int = 5,
) -> st.SearchStrategy[Node]:
    """Rules over what is known already."""
    kinds: list[st.SearchStrategy[Node]] = [metric_leaves(metrics), metric_leaves(metrics)]
    kinds += [attr_leaves(), tag_leaves(groups), bucket_leaves, tier_leaves]
    kinds.append(st.builds(ListLeaf, st.sampled_from(LISTS)))
    if known_layerings:
        kinds.append(layer_leaves(known_layerings))
    if segments:
        kinds.append(st.builds(SegmentLeaf, st.sampled_from(list(segments))))
    return st.recursive(
        st.one_of(kinds),
        lambda children: st.one_of(
            st.lists(children, max_size=3).map(lambda found: All(tuple(found))),
            st.lists(children, max_size=3).map(lambda found: Any(tuple(found))),
            children.map(Not),
        ),
        max_leaves=most,
    )


@st.composite
def catalogs(draw: Draw, *, most_metrics: int = 3, most_segments: int = 3) -> Catalog:
    """A valid catalog. Definitions that read others may stand before them."""
    metrics: dict[str, Metric] = {}
    for position in range(draw(st.integers(1, most_metrics))):
        metrics[f"m{position}"] = draw(fact_metrics(f"m{position}"))
    for position in range(draw(st.integers(0, 2))):
        metrics[f"f{position}"] = draw(formulas(f"f{position}", metrics))
    known: dict[str, Layering] = {}
    for position in range(draw(st.integers(0, 2))):
        known[f"y{position}"] = draw(layerings(f"y{position}", sorted(metrics)))
    groups = dict(IMPORTED)
    for position in range(draw(st.integers(0, 2))):
        rules = draw(
            st.lists(
                st.builds(
                    TagRule,
                    st.sampled_from(("v", "V", "vw", "x")),
                    nodes(sorted(metrics), groups, known, most=3),
                ),
                min_size=1,
                max_size=3,
            )
        )
        values = tuple(dict.fromkeys(rule.value for rule in rules))
        key = f"g{position}"
        groups[key] = TagGroup(key, LABEL, draw(st.booleans()), values, rules=tuple(rules))
    segments: dict[str, Segment] = {}
    for position in range(draw(st.integers(0, most_segments))):
        rule = draw(nodes(sorted(metrics), groups, known, sorted(segments)))
        visibility = draw(st.sampled_from(("hidden", "internal")))
        key = f"s{position}"
        segments[key] = Segment(key, LABEL, "service", visibility, rule)
    if draw(st.booleans()):  # what is read stands behind what reads it
        metrics, segments = _reversed(metrics), _reversed(segments)
        groups, known = _reversed(groups), _reversed(known)
    return Catalog(tag_groups=groups, metrics=metrics, layerings=known, segments=segments)


def _reversed(found: dict[str, Anything]) -> dict[str, Anything]:
    return dict(reversed(found.items()))


def ladders(catalog: Catalog) -> st.SearchStrategy[tuple[tuple[int, Node], ...]]:
    """The rules of a program's tiers: no segments."""
    rule = nodes(sorted(catalog.metrics), dict(catalog.tag_groups), dict(catalog.layerings), most=3)
    return st.lists(rule, min_size=0, max_size=3).map(lambda found: tuple(enumerate(found, 1)))
