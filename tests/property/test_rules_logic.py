"""S13: above the leaves logic is two-valued, so De Morgan holds on every tree, also with missing
values (docs/algorithms/rules-and-windows.md, V91)."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from segmentation.domain.definitions import Catalog
from segmentation.domain.evaluate import Oracle, Setting
from segmentation.domain.explain import NodeTrace, Trace, decisive, trace
from segmentation.domain.history import Attributes, CustomerHistory
from segmentation.domain.rules import All, Any, AttrLeaf, BucketLeaf, Node, Not

AS_OF = datetime(2018, 1, 1, tzinfo=UTC)
TEXTS = ("", "a", "ab", "b")
if_missing = st.booleans()
text_leaves = st.one_of(
    st.builds(
        AttrLeaf,
        st.sampled_from(("city", "region", "channel")),
        st.sampled_from(("eq", "ne", "contains")),
        st.sampled_from(TEXTS[1:]),
        if_missing,
    ),
    st.builds(
        AttrLeaf,
        st.sampled_from(("city", "region", "channel")),
        st.sampled_from(("in", "not_in")),
        st.lists(st.sampled_from(TEXTS[1:]), min_size=1, max_size=3).map(tuple),
        if_missing,
    ),
    st.builds(
        AttrLeaf,
        st.sampled_from(("city", "region", "channel")),
        st.sampled_from(("is_set", "is_not_set")),
        st.none(),
    ),
)
number_leaves = st.builds(
    AttrLeaf,
    st.just("birth_month"),
    st.sampled_from(("eq", "ne", "gt", "gte", "lt", "lte")),
    st.integers(1, 12).map(Decimal),
    if_missing,
)
boolean_leaves = st.builds(
    AttrLeaf, st.just("is_staff"), st.sampled_from(("eq", "ne")), st.booleans()
)
bucket_leaves = st.builds(BucketLeaf, st.just("s"), st.just(0), st.integers(0, 10_000))
nodes = st.recursive(
    st.one_of(text_leaves, number_leaves, boolean_leaves, bucket_leaves),
    lambda children: st.one_of(
        st.lists(children, max_size=4).map(lambda found: All(tuple(found))),
        st.lists(children, max_size=4).map(lambda found: Any(tuple(found))),
        children.map(Not),
    ),
    max_leaves=12,
)
texts = st.one_of(st.none(), st.sampled_from(TEXTS))
people = st.builds(
    CustomerHistory,
    st.text(min_size=1, max_size=8),
    st.builds(
        Attributes,
        city=texts,
        region=texts,
        channel=texts,
        birth_date=st.one_of(st.none(), st.dates()),
        is_staff=st.one_of(st.none(), st.booleans()),
    ),
)


def oracle(person: CustomerHistory) -> Oracle:
    zone = ZoneInfo("Asia/Shanghai")
    return Oracle(
        person, setting=Setting(catalog=Catalog(), as_of=AS_OF, zone=zone, currency="CNY")
    )


def pushed_down(node: Node, *, negated: bool = False) -> Node:
    """The same rule with every `not` right above a leaf."""
    match node:
        case Not(child):
            return pushed_down(child, negated=not negated)
        case All(children) | Any(children):
            below = tuple(pushed_down(child, negated=negated) for child in children)
            return All(below) if isinstance(node, All) is not negated else Any(below)
        case _:
            return Not(node) if negated else node


@given(node=nodes, person=people)
def test_de_morgan(node: Node, person: CustomerHistory) -> None:
    found = oracle(person)
    assert found.holds(pushed_down(node)) is found.holds(node)
    assert found.holds(Not(node)) is not found.holds(node)
    assert found.holds(Not(Not(node))) is found.holds(node)


def rebuilt(tree: Trace) -> bool:
    """The verdict that follows from the verdicts of the leaves."""
    if not isinstance(tree, NodeTrace):
        return tree.verdict
    below = [rebuilt(child) for child in tree.children]
    match tree.node:
        case "all":
            return all(below)
        case "any":
            return any(below)
        case "not":
            return not below[0]


@given(node=nodes, person=people)
def test_a_trace_says_what_the_rule_says(node: Node, person: CustomerHistory) -> None:
    """Every verdict follows from the leaves below it, and the decisive leaves are all one way:
    each one is as wanted exactly when the rule holds."""
    found = oracle(person)
    tree = trace(node, oracle=found)
    assert tree.verdict is found.holds(node)
    assert rebuilt(tree) is tree.verdict
    for reason in decisive(tree):
        assert (reason.leaf.verdict is reason.wanted) is tree.verdict
