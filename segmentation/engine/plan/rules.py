"""Rules as columns: every leaf is resolved to true or false before anything combines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from operator import and_, or_

import ibis
import ibis.expr.types as ir

from segmentation.domain.definitions import Catalog, TagGroup
from segmentation.domain.rules import (
    BOOLEAN_ATTRS,
    TEXT_ATTRS,
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
from segmentation.engine.schema import name_part

from .filters import compare_text
from .formulas import Shape
from .metrics import denominator, numerator
from .parameters import Parameters
from .tables import compare_fractions, compare_integers, fold

_EPOCH_DAY = date(1970, 1, 1)


def layer_column(key: str) -> str:
    return f"l:{key}"


def segment_column(key: str) -> str:
    return f"s:{key}"


def rank_column(key: str) -> str:
    return f"q:{key}"


def tag_column(group: str) -> str:
    """The value of an exclusive group, the sorted list of values of another imported one."""
    return f"t:{group}"


def tag_flag(group: str, value: str) -> str:
    """Whether a customer has a value of a rule group that is not exclusive."""
    return f"t:{group}={name_part(value)}"


def has_leaf_column(group: TagGroup) -> bool:
    """Whether leaves on a group are judged value by value, before they are customers' columns."""
    return not group.is_derived and not group.exclusive


def tag_leaf_column(position: int) -> str:
    return f"leaf:{position}"


def tag_known_column(group: str) -> str:
    return f"known:{group}"


def before_column(program: str) -> str:
    return f"before:{program}"


def bucket_column(salt: str) -> str:
    return f"bucket:{name_part(salt)}"


def list_column(key: str) -> str:
    """Whether a customer is on a list."""
    return f"list:{key}"


@dataclass(frozen=True, slots=True)
class RuleContext:
    """What leaves are looked up in. `tag_leaves` numbers the leaves that have a column."""

    catalog: Catalog
    shapes: Mapping[str, Shape]
    tag_leaves: Mapping[TagLeaf, int]
    tier_ranks: Mapping[str, Mapping[str, int]]
    parameters: Parameters


def rule_expression(table: ir.Table, node: Node, context: RuleContext) -> ir.BooleanValue:
    """True or false for every customer, never null."""
    match node:
        case All(children):
            parts = (rule_expression(table, child, context) for child in children)
            return fold(parts, and_, ibis.literal(True))
        case Any(children):
            parts = (rule_expression(table, child, context) for child in children)
            return fold(parts, or_, ibis.literal(False))
        case Not(child):
            return ~rule_expression(table, child, context)
        case MetricLeaf():
            return _metric(table, node, context)
        case TagLeaf():
            return _tag(table, node, context)
        case AttrLeaf():
            return _attr(table, node, context)
        case LayerLeaf():
            column = table[layer_column(node.layering)]
            return _leaf(column, node, lambda: compare_text(column, node.cmp, node.value))
        case SegmentLeaf(segment):
            return table[segment_column(segment)]
        case ListLeaf(key):
            return table[list_column(key)].fill_null(False)
        case TierLeaf():
            rank = context.tier_ranks.get(node.program, {}).get(node.tier)
            held = table[before_column(node.program)]
            if rank is None:
                return held.isnull() & ibis.literal(False)
            verdict = held >= rank if node.cmp == "at_least" else held == rank
            return verdict.fill_null(False)
        case BucketLeaf(salt, start, end):
            bucket = table[bucket_column(salt)]
            return ((bucket >= start) & (bucket < end)).fill_null(False)


def _leaf(
    column: ir.Value, node: MetricLeaf | AttrLeaf | LayerLeaf | TagLeaf, compared: object
) -> ir.BooleanValue:
    """Missing is resolved here: false, or true with `if_missing: match`."""
    if node.cmp == "is_not_set":
        return column.isnull()
    if node.cmp == "is_set":
        return column.notnull() if not node.if_missing else (column.notnull() | column.isnull())
    verdict: ir.BooleanValue = compared()  # type: ignore[operator]
    return verdict.fill_null(node.if_missing)


def _metric(table: ir.Table, node: MetricLeaf, context: RuleContext) -> ir.BooleanValue:
    column = table[numerator(node.metric)]
    shape = context.shapes[node.metric]
    if shape.is_fraction:
        below = table[denominator(node.metric)]
        return _leaf(
            below,
            node,
            lambda: compare_fractions(column, below, node.cmp, node.value, shape.scale),
        )
    return _leaf(column, node, lambda: compare_integers(column, node.cmp, node.value, shape.scale))


def _tag(table: ir.Table, node: TagLeaf, context: RuleContext) -> ir.BooleanValue:
    group = context.catalog.tag_groups[node.group]
    if has_leaf_column(group):
        known = table[tag_known_column(group.key)].fill_null(False)
        if node.cmp == "is_not_set":
            return ~known
        if node.cmp == "is_set":
            return known | ibis.literal(node.if_missing)
        found = table[tag_leaf_column(context.tag_leaves[node])].fill_null(False)
    elif group.exclusive:
        column = table[tag_column(group.key)]
        return _leaf(column, node, lambda: compare_text(column, node.cmp, node.value))
    else:
        flags = {value: table[tag_flag(group.key, value)] for value in group.values}
        known = fold(flags.values(), or_, ibis.literal(False))
        if node.cmp == "is_not_set":
            return ~known
        if node.cmp == "is_set":
            return known | ibis.literal(node.if_missing)
        chosen = [flag for value, flag in flags.items() if tag_value_matches(value, node)]
        found = fold(chosen, or_, ibis.literal(False))
    verdict = known & ~found if node.cmp in ("ne", "not_in") else found
    return verdict | ~known if node.if_missing else verdict


def tag_value_matches(value: str, node: TagLeaf) -> bool:
    """Whether one value is among those that `node` names (for ne and not_in: excludes)."""
    if node.cmp in ("in", "not_in"):
        return value in node.value  # type: ignore[operator]
    if node.cmp == "contains":
        return str(node.value) in value
    return value == node.value


def _attr(table: ir.Table, node: AttrLeaf, context: RuleContext) -> ir.BooleanValue:
    name = node.attr
    if name in BOOLEAN_ATTRS:
        same = table[name] if node.value else ~table[name]
        return same if node.cmp == "eq" else ~same
    if name in TEXT_ATTRS:
        column = table[name]
        return _leaf(column, node, lambda: compare_text(column, node.cmp, node.value))
    if name == "birth_month":
        number = table.birth_month
        return _leaf(number, node, lambda: compare_integers(number, node.cmp, node.value, 1))
    if name == "days_since_registered":
        number = context.parameters.today() - table.registered_day.cast("int64")
        return _leaf(number, node, lambda: compare_integers(number, node.cmp, node.value, 1))
    day = table[name.removesuffix("_at").removesuffix("_date") + "_day"]
    value = node.value
    ends = tuple(_day(end) for end in value) if isinstance(value, tuple) else _day(value)
    return _leaf(day, node, lambda: compare_integers(day, node.cmp, ends, 1))


def _day(value: object) -> int | None:
    return (value - _EPOCH_DAY).days if isinstance(value, date) else None
