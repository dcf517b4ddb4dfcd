"""The oracle: what a run must say about one customer, slow and obviously right.

Guarantee: for the same facts, definitions, as-of, cuts and memberships the engine publishes exactly
these values; a difference is an alarm. It also explains single verdicts (`explain.py`). Plain
Python, exact fractions, no clock. The meaning of every step is contract, section 3; cases:
docs/algorithms/rules-and-windows.md.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from .definitions import Catalog, FormulaMetric
from .evaluate_metrics import fact_metric, formula_metric
from .evaluate_values import Present, compare
from .history import CustomerHistory, HeldTier
from .rules import (
    BOOLEAN_ATTRS,
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
)
from .values import currency_decimals
from .windows import local_day

BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What is the same for all customers of a run.

    `cuts` are the frozen cuts of percentile layerings; fixed cuts come from the definition.
    `tier_ranks` are the ranks of each program's version that is effective: {program: {tier: rank}}.
    """

    catalog: Catalog
    as_of: datetime
    zone: ZoneInfo
    currency: str
    cuts: Mapping[str, tuple[Fraction, ...]] = field(default_factory=dict)
    tier_ranks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def cuts_of(self, layering: str) -> tuple[Fraction, ...]:
        """The layering's cuts, rising: fixed ones exact, percentiles as the run froze them."""
        definition = self.catalog.layerings[layering]
        if definition.percentiles:
            return self.cuts[layering]
        return tuple(Fraction(cut) for cut in definition.cuts)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything about one customer: exact metrics, tags and layers by key, segments after manual
    include and exclude and objections."""

    metrics: Mapping[str, Fraction | None]
    tags: Mapping[str, tuple[str, ...]]
    layers: Mapping[str, str | None]
    segments: Mapping[str, bool]


class Oracle:
    """One customer at one as-of. Every answer is computed once, when first asked for."""

    def __init__(
        self,
        history: CustomerHistory,
        *,
        setting: Setting,
        tiers_before: Mapping[str, HeldTier] | None = None,
    ) -> None:
        self.history = history
        self.setting = setting
        self.tiers_before = tiers_before or {}
        self._metrics: dict[str, Fraction | None] = {}
        self._tags: dict[str, tuple[str, ...]] = {}
        self._segments: dict[str, bool] = {}

    def metric(self, key: str) -> Fraction | None:
        """The exact value, or None when it is missing."""
        if key not in self._metrics:
            self._metrics[key] = self._compute_metric(key)
        return self._metrics[key]

    def _compute_metric(self, key: str) -> Fraction | None:
        metric = self.setting.catalog.metrics[key]
        if isinstance(metric, FormulaMetric):
            return formula_metric(metric, metric=self.metric)
        return fact_metric(
            self.history,
            metric,
            as_of=self.setting.as_of,
            zone=self.setting.zone,
            decimals=currency_decimals(self.setting.currency),
        )

    def tags(self, group: str) -> tuple[str, ...]:
        """The values the customer has, in the group's order."""
        if group not in self._tags:
            self._tags[group] = self._compute_tags(group)
        return self._tags[group]

    def _compute_tags(self, group: str) -> tuple[str, ...]:
        definition = self.setting.catalog.tag_groups[group]
        if definition.is_derived:
            if definition.exclusive:
                for rule in definition.rules:
                    if self.holds(rule.rule):
                        return (rule.value,)
                return ()
            matched = {rule.value for rule in definition.rules if self.holds(rule.rule)}
        else:
            matched = {
                tag.value
                for tag in self.history.tags
                if tag.group == group
                and (tag.expires_at is None or tag.expires_at > self.setting.as_of)
            }
            if definition.exclusive:
                # A group that became exclusive later may have left somebody several values.
                matched = set(sorted(matched)[-1:])
        declared = [value for value in definition.values if value in matched]
        return (*declared, *sorted(matched.difference(declared)))

    def layer(self, key: str) -> str | None:
        """The layer of the metric's value; None when it is missing."""
        layering = self.setting.catalog.layerings[key]
        value = self.metric(layering.metric)
        if value is None:
            return None
        reached = sum(1 for cut in self.setting.cuts_of(key) if cut <= value)
        return layering.layers[reached]

    def in_segment(self, key: str) -> bool:
        """The segment's result: its rule, manual include, then exclude, then objection."""
        if key not in self._segments:
            segment = self.setting.catalog.segments[key]
            member = self.holds(segment.rule) or key in self.history.included
            if key in self.history.excluded:
                member = False
            if segment.visibility == "hidden" and self.history.objects:
                member = False
            self._segments[key] = member
        return self._segments[key]

    def holds(self, node: Node) -> bool:
        """The verdict of a rule: two-valued above the leaves."""
        match node:
            case All(children):
                return all(self.holds(child) for child in children)
            case Any(children):
                return any(self.holds(child) for child in children)
            case Not(child):
                return not self.holds(child)
            case _:
                return self.leaf_holds(node)

    def leaf_holds(self, leaf: Leaf) -> bool:
        match leaf:
            case MetricLeaf():
                return _verdict(leaf, self.metric(leaf.metric))
            case AttrLeaf():
                return _verdict(leaf, self.attribute(leaf.attr))
            case LayerLeaf():
                return _verdict(leaf, self.layer(leaf.layering))
            case TagLeaf():
                return _tag_verdict(leaf, self.tags(leaf.group))
            case SegmentLeaf():
                return self.in_segment(leaf.segment)
            case ListLeaf():
                return leaf.list in self.history.lists
            case TierLeaf():
                return self._tier_verdict(leaf)
            case BucketLeaf():
                return leaf.start <= bucket(leaf.salt, self.history.external_id) < leaf.end

    def attribute(self, attr: str) -> Present | None:
        """An attribute as rules read it: local dates, exact numbers, None when missing."""
        attributes = self.history.attributes
        zone = self.setting.zone
        match attr:
            case "registered_at" | "consent_at":
                instant: datetime | None = getattr(attributes, attr)
                return None if instant is None else local_day(instant, zone)
            case "birth_month":
                birth = attributes.birth_date
                return None if birth is None else Fraction(birth.month)
            case "days_since_registered":
                registered = attributes.registered_at
                if registered is None:
                    return None
                today = local_day(self.setting.as_of, zone)
                return Fraction((today - local_day(registered, zone)).days)
            case "birth_date":
                return attributes.birth_date
            case _ if attr in BOOLEAN_ATTRS:
                return bool(getattr(attributes, attr))
            case _:
                text: str | None = getattr(attributes, attr)
                return text or None

    def _tier_verdict(self, leaf: TierLeaf) -> bool:
        held = self.tiers_before.get(leaf.program)
        needed = self.setting.tier_ranks.get(leaf.program, {}).get(leaf.tier)
        if held is None or needed is None:
            return False
        return held.rank == needed if leaf.cmp == "eq" else held.rank >= needed


def _verdict(leaf: MetricLeaf | AttrLeaf | LayerLeaf, actual: Present | None) -> bool:
    if actual is None:
        return leaf.cmp == "is_not_set" or leaf.if_missing
    return compare(actual, leaf.cmp, leaf.value)


def _tag_verdict(leaf: TagLeaf, values: tuple[str, ...]) -> bool:
    """`in`, `eq`, `contains`: any value does; `not_in`, `ne`: every value does."""
    if not values:
        return leaf.cmp == "is_not_set" or leaf.if_missing
    verdicts = [compare(value, leaf.cmp, leaf.value) for value in values]
    return all(verdicts) if leaf.cmp in ("not_in", "ne") else any(verdicts)


def bucket(salt: str, external_id: str) -> int:
    """The customer's number from 0 to 9999 under a salt, evenly spread and always the same."""
    digest = hmac.new(salt.encode(), external_id.encode(), hashlib.sha256).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def percentile_cuts(
    values: Iterable[Fraction], percentiles: Iterable[Decimal]
) -> tuple[Fraction, ...]:
    """For each percentile p the value of rank floor(p/100 * n) + 1 (at most n) among the n present
    values in rising order; no cuts when there is no value."""
    rising = sorted(values)
    if not rising:
        return ()
    n = len(rising)
    ranks = (int(Fraction(percentile) * n / 100) + 1 for percentile in percentiles)
    return tuple(rising[min(rank, n) - 1] for rank in ranks)


def evaluate_customer(
    history: CustomerHistory,
    *,
    setting: Setting,
    tiers_before: Mapping[str, HeldTier] | None = None,
) -> Evaluation:
    """Every metric, tag, layer and segment of one customer, as a run at that as-of must give."""
    oracle = Oracle(history, setting=setting, tiers_before=tiers_before)
    catalog = setting.catalog
    return Evaluation(
        metrics={key: oracle.metric(key) for key in catalog.metrics},
        tags={key: oracle.tags(key) for key in catalog.tag_groups},
        layers={key: oracle.layer(key) for key in catalog.layerings},
        segments={key: oracle.in_segment(key) for key in catalog.segments},
    )


def qualifying_tier(rules: Mapping[str, tuple[int, Node]], *, oracle: Oracle) -> str | None:
    """The tier of the highest rank whose rule holds; `rules`: {tier: (rank, rule)}."""
    held = [(rank, tier) for tier, (rank, rule) in rules.items() if oracle.holds(rule)]
    return max(held)[1] if held else None
