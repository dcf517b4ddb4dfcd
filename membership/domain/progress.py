"""What a member still lacks for the next tier, where the rule can be said in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from segmentation.domain.definitions import Unit
from segmentation.domain.rules import All, MetricLeaf, Node
from segmentation.domain.values import RATIO_DECIMALS, currency_decimals, shown

from .programs import ProgramVersion, Tier


@dataclass(frozen=True, slots=True)
class Gap:
    """One condition of the next tier, as texts in the metric's unit.

    `have` None: the metric has no value. `missing` is the least amount, a whole number of smallest
    units, that fulfils the condition when added to the exact value; "0" in the unit when fulfilled.
    """

    metric: str
    need: str
    have: str | None
    missing: str


def next_tier(version: ProgramVersion, *, rank: int | None) -> Tier | None:
    """The tier above `rank`; the lowest for somebody without one; None at the top."""
    above = (tier for tier in version.tiers if rank is None or tier.rank > rank)
    return min(above, key=lambda tier: tier.rank, default=None)


def progress(
    rule: Node,
    *,
    values: Mapping[str, Fraction | None],
    units: Mapping[str, Unit],
    currency: str,
) -> tuple[Gap, ...] | None:
    """The gaps to a rule, in its order; None unless it is gte or gt leaves on metrics under `all`.

    `values` and `units` by metric key: exact values in the base currency (money), numbers, days or
    shares. A metric without a value counts as 0, or as fulfilled where the leaf says so.
    """
    leaves = _conditions(rule)
    if leaves is None or any(leaf.metric not in units for leaf in leaves):
        return None
    return tuple(
        _gap(leaf, values.get(leaf.metric), unit=units[leaf.metric], currency=currency)
        for leaf in leaves
    )


def _conditions(rule: Node) -> tuple[MetricLeaf, ...] | None:
    if isinstance(rule, MetricLeaf):
        return (rule,) if rule.cmp in ("gte", "gt") else None
    if not isinstance(rule, All):
        return None
    below = [_conditions(child) for child in rule.children]
    if any(leaves is None for leaves in below):
        return None
    return tuple(leaf for leaves in below if leaves is not None for leaf in leaves)


def _gap(leaf: MetricLeaf, value: Fraction | None, *, unit: Unit, currency: str) -> Gap:
    if not isinstance(leaf.value, Decimal):
        raise TypeError(f"{leaf.metric} {leaf.cmp} compares with {leaf.value!r}")
    step = _smallest(unit, currency=currency)
    bound = Fraction(leaf.value)
    have = value or Fraction(0)
    # A bound finer than the unit is shown as the unit's bound that means the same.
    if leaf.cmp == "gte":
        need = _ceil(bound, step)
        missing = _ceil(bound - have, step)
    else:
        need = bound // step * step
        missing = (bound - have) // step * step + step
    if value is None and leaf.if_missing:
        missing = Fraction(0)
    return Gap(
        metric=leaf.metric,
        need=_text(need, unit=unit, currency=currency),
        have=shown(value, unit=unit, currency=currency),
        missing=_text(max(missing, Fraction(0)), unit=unit, currency=currency),
    )


def _smallest(unit: Unit, *, currency: str) -> Fraction:
    if unit == "money":
        return Fraction(1, 10 ** currency_decimals(currency))
    return Fraction(1, 10**RATIO_DECIMALS) if unit == "ratio" else Fraction(1)


def _ceil(value: Fraction, step: Fraction) -> Fraction:
    return -(-value // step) * step


def _text(value: Fraction, *, unit: Unit, currency: str) -> str:
    text = shown(value, unit=unit, currency=currency)
    assert text is not None  # only a missing value has no text
    return text
