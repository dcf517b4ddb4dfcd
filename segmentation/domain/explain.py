"""Why a rule holds or not for one customer: the rule's tree with what every leaf read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any as AnyType
from typing import Literal
from zoneinfo import ZoneInfo

from .definitions import FactMetric, Unit
from .evaluate import Oracle, bucket
from .evaluate_metrics import counted_facts
from .evaluate_values import Present
from .rules import (
    All,
    Any,
    AttrLeaf,
    BucketLeaf,
    LayerLeaf,
    Leaf,
    ListLeaf,
    MetricLeaf,
    Node,
    Not,
    SegmentLeaf,
    TagLeaf,
    TierLeaf,
    Value,
)
from .values import RATIO_DECIMALS, currency_decimals, quantise, shown
from .windows import Interval, resolve

Actual = Present | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class LeafTrace:
    """One leaf: what it asked for and what was there.

    `kind` and `key` name what it reads (`metric`, `days_since_order`). `actual` None: missing.
    `interval` is the window of a metric over facts, `facts` how many of them counted there.
    `path` is a JSON pointer into the rule.
    """

    kind: str
    key: str
    cmp: str
    value: Value | tuple[int, int]
    actual: Actual
    verdict: bool
    path: str
    unit: Unit | None = None
    interval: Interval | None = None
    facts: int | None = None

    @property
    def missing(self) -> bool:
        return self.actual is None


@dataclass(frozen=True, slots=True)
class NodeTrace:
    """`all`, `any` or `not` with its children (exactly one for `not`)."""

    node: Literal["all", "any", "not"]
    verdict: bool
    path: str
    children: tuple[Trace, ...]


Trace = NodeTrace | LeafTrace


def trace(node: Node, *, oracle: Oracle, path: str = "") -> Trace:
    """The whole tree, every leaf looked at, whatever the others say."""
    match node:
        case All(children) | Any(children):
            name: Literal["all", "any"] = "all" if isinstance(node, All) else "any"
            below = tuple(
                trace(child, oracle=oracle, path=f"{path}/{name}/{index}")
                for index, child in enumerate(children)
            )
            return NodeTrace(name, oracle.holds(node), path, below)
        case Not(child):
            below = (trace(child, oracle=oracle, path=f"{path}/not"),)
            return NodeTrace("not", oracle.holds(node), path, below)
        case _:
            return _leaf(node, oracle, path)


def _leaf(leaf: Leaf, oracle: Oracle, path: str) -> LeafTrace:
    verdict = oracle.leaf_holds(leaf)
    match leaf:
        case MetricLeaf():
            return _metric_leaf(leaf, oracle, verdict, path)
        case AttrLeaf():
            actual = oracle.attribute(leaf.attr)
            return LeafTrace("attr", leaf.attr, leaf.cmp, leaf.value, actual, verdict, path)
        case LayerLeaf():
            layer = oracle.layer(leaf.layering)
            return LeafTrace("layer", leaf.layering, leaf.cmp, leaf.value, layer, verdict, path)
        case TagLeaf():
            tags = oracle.tags(leaf.group) or None
            return LeafTrace("tag", leaf.group, leaf.cmp, leaf.value, tags, verdict, path)
        case SegmentLeaf():
            return LeafTrace("segment", leaf.segment, "member", True, verdict, verdict, path)
        case ListLeaf():
            return LeafTrace("list", leaf.list, "member", True, verdict, verdict, path)
        case TierLeaf():
            held = oracle.tiers_before.get(leaf.program)
            tier = held.tier if held else None
            return LeafTrace("tier", leaf.program, leaf.cmp, leaf.tier, tier, verdict, path)
        case BucketLeaf():
            drawn = Fraction(bucket(leaf.salt, oracle.history.external_id))
            ends = (leaf.start, leaf.end)
            return LeafTrace("bucket", leaf.salt, "in", ends, drawn, verdict, path, unit="count")


def _metric_leaf(leaf: MetricLeaf, oracle: Oracle, verdict: bool, path: str) -> LeafTrace:
    setting = oracle.setting
    metric = setting.catalog.metrics[leaf.metric]
    interval, facts = None, None
    if isinstance(metric, FactMetric):
        interval = resolve(metric.window, as_of=setting.as_of, zone=setting.zone)
        counted = counted_facts(
            oracle.history,
            metric,
            as_of=setting.as_of,
            zone=setting.zone,
            decimals=currency_decimals(setting.currency),
        )
        facts = len(counted)
    return LeafTrace(
        kind="metric",
        key=leaf.metric,
        cmp=leaf.cmp,
        value=leaf.value,
        actual=oracle.metric(leaf.metric),
        verdict=verdict,
        path=path,
        unit=metric.unit,
        interval=interval,
        facts=facts,
    )


@dataclass(frozen=True, slots=True)
class Reason:
    """A leaf and the verdict the rule wants from it: False below an odd number of `not`."""

    leaf: LeafTrace
    wanted: bool


def decisive(tree: Trace, *, wanted: bool = True) -> tuple[Reason, ...]:
    """The leaves that are enough to make the verdict what it is, in document order.

    A false `all` is decided by its false children, a true `any` by its first true child; a true
    `all` and a false `any` by every child.
    """
    if isinstance(tree, LeafTrace):
        return (Reason(tree, wanted),)
    if tree.node == "not":
        return decisive(tree.children[0], wanted=not wanted)
    children = tree.children
    if tree.node == "all" and not tree.verdict:
        children = tuple(child for child in children if not child.verdict)
    elif tree.node == "any" and tree.verdict:
        children = tuple(child for child in children if child.verdict)[:1]
    return tuple(reason for child in children for reason in decisive(child, wanted=wanted))


def document(tree: Trace, *, currency: str, zone: ZoneInfo) -> Mapping[str, AnyType]:
    """The tree as the contract's JSON: numbers as text, times with the zone's offset.

    Besides the contract's keys a leaf has `facts`, `exact` (the fraction, where `actual` had to be
    rounded) and `gap` (what is missing to a `gte`, `gt` or `eq` of a higher value).
    """
    if isinstance(tree, NodeTrace):
        return {
            "node": tree.node,
            "verdict": tree.verdict,
            "path": tree.path,
            "children": [document(child, currency=currency, zone=zone) for child in tree.children],
        }
    interval = tree.interval and [
        tree.interval.start and tree.interval.start.astimezone(zone).isoformat(),
        tree.interval.end.astimezone(zone).isoformat(),
    ]
    return {
        "leaf": f"{tree.kind}:{tree.key}",
        "cmp": tree.cmp,
        "value": _plain(tree.value, tree.unit, currency),
        "actual": actual_text(tree, currency=currency),
        "missing": tree.missing,
        "interval": interval,
        "verdict": tree.verdict,
        "path": tree.path,
        "facts": tree.facts,
        "exact": _exact(tree, currency),
        "gap": gap_text(tree, currency=currency),
    }


def actual_text(leaf: LeafTrace, *, currency: str) -> AnyType:
    """What was there: numbers as shown in their unit, dates ISO, booleans as they are."""
    if isinstance(leaf.actual, Fraction):
        return shown(leaf.actual, unit=leaf.unit or "count", currency=currency)
    return _plain(leaf.actual, leaf.unit, currency)


def needed_text(leaf: LeafTrace, *, currency: str) -> AnyType:
    """What the leaf compares with, formatted like `actual_text`, a list for several."""
    return _plain(leaf.value, leaf.unit, currency)


def gap_text(leaf: LeafTrace, *, currency: str) -> str | None:
    """How much more is needed to reach the value; None where there is no such thing."""
    if not isinstance(leaf.value, Decimal) or leaf.cmp not in ("gte", "gt", "eq"):
        return None
    actual = leaf.actual if isinstance(leaf.actual, Fraction) else Fraction(0)
    gap = Fraction(leaf.value) - actual
    return _number(gap, leaf.unit, currency) if gap > 0 else None


def _plain(value: object, unit: Unit | None, currency: str) -> AnyType:
    if isinstance(value, Decimal | Fraction):
        return _number(Fraction(value), unit, currency)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(member, unit, currency) for member in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value


def _decimals(unit: Unit | None, currency: str) -> int:
    if unit == "money":
        return currency_decimals(currency)
    return RATIO_DECIMALS if unit == "ratio" else 0


def _number(value: Fraction, unit: Unit | None, currency: str) -> str:
    """In the unit's decimals, or all there are where the unit has too few to be exact."""
    decimals = _decimals(unit, currency)
    rounded = quantise(value, decimals)
    for more in range(decimals + 1, 13):
        if Fraction(rounded) == value:
            break
        rounded = quantise(value, more)
    return format(rounded, "f")


def _exact(leaf: LeafTrace, currency: str) -> str | None:
    if not isinstance(leaf.actual, Fraction):
        return None
    rounded = quantise(leaf.actual, _decimals(leaf.unit, currency))
    return None if Fraction(rounded) == leaf.actual else str(leaf.actual)
