"""Rules as data: a tree of `All`, `Any`, `Not` over typed leaves.

The tree is the normalised form of a rule document (contract, section 3). It is immutable, hashable
and free of lookups: names are keys, numbers are `Decimal`, dates are `date`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Literal

Cmp = Literal[
    "eq", "ne", "gt", "gte", "lt", "lte", "between", "in", "not_in", "contains", "is_set",
    "is_not_set", "member", "at_least",
]  # fmt: skip
# What a leaf compares with. `is_set` and `is_not_set` have None, `between` a pair, `in` and
# `not_in` a tuple of texts.
Value = (
    Decimal
    | str
    | bool
    | date
    | tuple[Decimal, Decimal]
    | tuple[date, date]
    | tuple[str, ...]
    | None
)


@dataclass(frozen=True, slots=True)
class All:
    """True when every child is; true when there is none."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """True when a child is; false when there is none."""

    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The exact complement of its child within all customers."""

    child: Node


@dataclass(frozen=True, slots=True)
class MetricLeaf:
    metric: str
    cmp: Cmp
    value: Value
    if_missing: bool = False  # the verdict on a missing value ("if_missing: match" is True)


@dataclass(frozen=True, slots=True)
class TagLeaf:
    """`in`, `eq`: has any of the values; `not_in`, `ne`: has a value and none of these."""

    group: str
    cmp: Cmp
    value: Value  # eq, ne, contains: str; in, not_in: tuple of str
    if_missing: bool = False


@dataclass(frozen=True, slots=True)
class AttrLeaf:
    attr: str
    cmp: Cmp
    value: Value
    if_missing: bool = False


@dataclass(frozen=True, slots=True)
class LayerLeaf:
    layering: str
    cmp: Cmp
    value: Value  # in, not_in: tuple of layer keys
    if_missing: bool = False


@dataclass(frozen=True, slots=True)
class SegmentLeaf:
    """Member of another segment's result of the same run, after manual include and exclude."""

    segment: str


@dataclass(frozen=True, slots=True)
class ListLeaf:
    """On a customer list, as it was when the run started."""

    list: str


@dataclass(frozen=True, slots=True)
class TierLeaf:
    """Reads the membership as it was before the run. A customer without membership: false."""

    program: str
    cmp: Cmp  # at_least | eq
    tier: str


@dataclass(frozen=True, slots=True)
class BucketLeaf:
    """`start <= HMAC-SHA256(salt, external id)[:8] big-endian mod 10000 < end`."""

    salt: str
    start: int
    end: int


Leaf = MetricLeaf | TagLeaf | AttrLeaf | LayerLeaf | SegmentLeaf | ListLeaf | TierLeaf | BucketLeaf
Node = All | Any | Not | Leaf

MAX_DEPTH = 8
MAX_LEAVES = 100

TEXT_ATTRS = ("gender", "city", "region", "channel", "home_store")
DATE_ATTRS = ("registered_at", "consent_at", "birth_date")
BOOLEAN_ATTRS = ("is_staff", "consent_marketing")
NUMBER_ATTRS = ("birth_month", "days_since_registered")
ATTRS = TEXT_ATTRS + DATE_ATTRS + BOOLEAN_ATTRS + NUMBER_ATTRS

NUMBER_CMPS = ("eq", "ne", "gt", "gte", "lt", "lte", "between", "is_set", "is_not_set")
TEXT_CMPS = ("eq", "ne", "in", "not_in", "contains", "is_set", "is_not_set")
DATE_CMPS = ("eq", "gt", "gte", "lt", "lte", "between", "is_set", "is_not_set")
BOOLEAN_CMPS = ("eq", "ne")
TAG_CMPS = ("in", "not_in", "eq", "ne", "contains", "is_set", "is_not_set")
LAYER_CMPS = ("in", "not_in", "is_set", "is_not_set")


def leaves(node: Node) -> tuple[Leaf, ...]:
    """Every leaf below `node`, in document order."""
    if isinstance(node, All | Any):
        return tuple(leaf for child in node.children for leaf in leaves(child))
    if isinstance(node, Not):
        return leaves(node.child)
    return (node,)
