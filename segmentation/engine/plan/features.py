"""Customers' attributes, imported tags and layers as columns."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import ibis
import ibis.expr.types as ir

from segmentation.domain.definitions import Catalog, Layering
from segmentation.engine.schema import MIRROR_KINDS

from .metrics import denominator, numerator
from .rules import (
    RuleContext,
    has_leaf_column,
    tag_column,
    tag_known_column,
    tag_leaf_column,
    tag_value_matches,
)
from .tables import compare_columns, fact_table, integer, wide


def customers_table() -> ir.Table:
    """Every customer with the attributes rules may read."""
    kept = [
        "ordinal", "external_id", "gender", "city", "region", "channel", "home_store", "is_staff",
        "consent_marketing", "registered_day", "consent_day",
    ]  # fmt: skip
    columns = {field.name for field in MIRROR_KINDS["customers"].schema}
    assert columns.issuperset(kept)
    table = ibis.table(
        {**fact_table("customers").schema(), "birth_day": "int32", "birth_month": "int32"},
        name="customers",
    )
    return table.select([*kept, "birth_day", "birth_month"])


def tag_tables(catalog: Catalog, context: RuleContext) -> Sequence[ir.Table]:
    """One row per customer with live tags: each group's values and each leaf's verdict."""
    imported = [group for group in catalog.tag_groups.values() if not group.is_derived]
    if not imported:
        return []
    tags = fact_table("tags")
    live = tags.filter(tags.expires_at.isnull() | (tags.expires_at > context.parameters.as_of()))
    columns: dict[str, ir.Value] = {}
    for group in imported:
        here = live.tag_group == group.key
        if has_leaf_column(group):
            columns[tag_known_column(group.key)] = here.any()
        # A group that became exclusive later may have left somebody several: the last one counts.
        columns[tag_column(group.key)] = (
            live.value.max(where=here) if group.exclusive else live.value.collect(where=here).sort()
        )
    for leaf, position in context.tag_leaves.items():
        if leaf.cmp in ("is_set", "is_not_set"):
            continue
        if leaf.cmp == "contains":
            named = live.value.contains(str(leaf.value))
        else:
            group = catalog.tag_groups[leaf.group]
            named = live.value.isin(
                [value for value in group.values if tag_value_matches(value, leaf)]
                or [str(leaf.value)]
            )
        columns[tag_leaf_column(position)] = ((live.tag_group == leaf.group) & named).any()
    return [live.group_by("ordinal").agg(**columns)]


def layer_expression(table: ir.Table, layering: Layering, context: RuleContext) -> ir.Value:
    """The highest layer whose cut the value reaches; below the first cut the lowest; or null."""
    shape = context.shapes[layering.metric]
    value = table[numerator(layering.metric)]
    below = table[denominator(layering.metric)] if shape.is_fraction else integer(1)
    known = below.notnull() if shape.is_fraction else value.notnull()
    reached: list[ir.BooleanValue] = []
    count = len(layering.layers) - 1
    for position in range(count):
        if layering.percentiles:
            name = f"cut:{layering.key}:{position}"
            top = context.parameters.given(f"{name}:n")
            bottom = context.parameters.given(f"{name}:d")
        else:
            cut = Fraction(layering.cuts[position]) * shape.scale
            top, bottom = integer(cut.numerator), integer(cut.denominator)
        left, right = wide(value) * wide(bottom), wide(below) * wide(top)
        reached.append(compare_columns(left, "gte", right))
    branches = [
        (reached[position].fill_null(False), layering.layers[position + 1])
        for position in reversed(range(count))
    ]
    return ibis.cases(*branches, (known, layering.layers[0]))
