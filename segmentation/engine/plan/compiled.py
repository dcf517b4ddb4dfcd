"""From definitions to two SQL statements: metrics, then verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import or_
from typing import Literal

import ibis
import ibis.expr.types as ir

from segmentation.domain import dependencies
from segmentation.domain.definitions import Catalog, FactMetric, FormulaMetric, TagGroup
from segmentation.domain.rules import BucketLeaf, ListLeaf, Node, TagLeaf, TierLeaf, leaves

from .features import customers_table, layer_expression, tag_tables
from .fields import property_keys
from .formulas import Shape, formula_columns, metric_shapes
from .metrics import ZERO_WHEN_EMPTY, denominator, metric_tables, numerator
from .parameters import Bounds, Parameters
from .rules import (
    RuleContext,
    before_column,
    bucket_column,
    has_leaf_column,
    layer_column,
    list_column,
    rank_column,
    rule_expression,
    segment_column,
    tag_column,
    tag_flag,
)
from .tables import fold

Override = tuple[str, Literal["include", "exclude"]]  # a segment that has such a row in this run


@dataclass(frozen=True, slots=True)
class RankRules:
    """A ladder of rules from outside (a program's tiers): the highest rank whose rule holds."""

    key: str
    rules: tuple[tuple[int, Node], ...]


@dataclass(frozen=True, slots=True)
class CompiledPlan:
    """The plan of one set of definitions, for any as-of.

    `metrics_sql` gives `ordinal` and every metric's columns; `verdicts_sql` reads that as the
    table `metrics` and gives one row per customer with everything a snapshot holds.
    """

    catalog: Catalog
    shapes: Mapping[str, Shape]
    properties: tuple[str, ...]
    salts: tuple[str, ...]
    programs_before: tuple[str, ...]
    metrics_expression: ir.Table
    verdicts_expression: ir.Table
    _metrics_template: str
    _verdicts_template: str
    _parameters: Parameters

    def metrics_sql(self, bounds: Bounds) -> str:
        return self._parameters.fill(self._metrics_template, bounds, {})

    def verdicts_sql(self, bounds: Bounds, cuts: Mapping[str, Sequence[tuple[int, int]]]) -> str:
        """`cuts` holds what percentile layers begin at: layering -> (numerator, denominator) pairs
        in the metric's own unit.
        """
        given: dict[str, int] = {}
        for key, pairs in cuts.items():
            scale = self.shapes[self.catalog.layerings[key].metric].scale
            for position, pair in enumerate(pairs):
                cut = Fraction(*pair) * scale
                given[f"cut:{key}:{position}:n"] = cut.numerator
                given[f"cut:{key}:{position}:d"] = cut.denominator
        return self._parameters.fill(self._verdicts_template, bounds, given)


def compile_plan(
    catalog: Catalog,
    *,
    ladders: Sequence[RankRules] = (),
    tier_ranks: Mapping[str, Mapping[str, int]] | None = None,
    overrides: frozenset[Override] = frozenset(),
    has_objections: bool = False,
    probes: Mapping[str, Node] | None = None,
) -> CompiledPlan:
    """Compile everything once. `overrides` names what the manual rows of the run touch.

    `probes` are more rules, each a boolean column of that name in the verdicts.
    """
    parameters = Parameters()
    shapes = metric_shapes(catalog.metrics)
    properties = property_keys(catalog.metrics.values())
    nodes = [rule.rule for group in catalog.tag_groups.values() for rule in group.rules]
    nodes += [segment.rule for segment in catalog.segments.values()]
    nodes += [node for ladder in ladders for _, node in ladder.rules]
    nodes += (probes or {}).values()
    found = [leaf for node in nodes for leaf in leaves(node)]
    tag_leaves = {
        leaf: position
        for position, leaf in enumerate(
            dict.fromkeys(
                leaf
                for leaf in found
                if isinstance(leaf, TagLeaf) and has_leaf_column(catalog.tag_groups[leaf.group])
            )
        )
    }
    salts = tuple(sorted({leaf.salt for leaf in found if isinstance(leaf, BucketLeaf)}))
    lists = tuple(sorted({leaf.list for leaf in found if isinstance(leaf, ListLeaf)}))
    before = tuple(sorted({leaf.program for leaf in found if isinstance(leaf, TierLeaf)}))
    context = RuleContext(catalog, shapes, tag_leaves, tier_ranks or {}, parameters)

    metrics = _metrics(catalog, shapes, properties, parameters)
    manual = None
    if overrides or has_objections or lists:
        manual = _overrides(overrides, has_objections, lists)
    base = _inputs(metrics, catalog, context, salts, before, manual)
    table = _layers(base, context)
    table = _rule_tags(table, context)
    table = _segments(table, context, overrides, has_objections)
    table = table.mutate(
        **{rank_column(ladder.key): _rank(table, ladder, context) for ladder in ladders}
    )
    if probes:
        probed = {name: rule_expression(table, node, context) for name, node in probes.items()}
        table = table.mutate(**probed)
    verdicts = table.select([*_snapshot_columns(catalog, shapes, ladders), *(probes or {})])
    return CompiledPlan(
        catalog=catalog,
        shapes=shapes,
        properties=properties,
        salts=salts,
        programs_before=before,
        metrics_expression=metrics,
        verdicts_expression=verdicts,
        _metrics_template=str(ibis.to_sql(metrics, dialect="duckdb")),
        _verdicts_template=str(ibis.to_sql(verdicts, dialect="duckdb")),
        _parameters=parameters,
    )


def _left_joins(left: ir.Table, parts: Sequence[ir.Table]) -> ir.Table:
    """`left` with the columns of all parts. One flat chain: a subquery for each part would nest
    as deep as there are parts."""
    joined = left
    for position, part in enumerate(parts):
        same = left.ordinal == part.ordinal
        joined = joined.left_join(part, same, rname=f"again{position}_{{name}}")
    return joined.drop([f"again{position}_ordinal" for position in range(len(parts))])


def _metrics(
    catalog: Catalog,
    shapes: Mapping[str, Shape],
    properties: Sequence[str],
    parameters: Parameters,
) -> ir.Table:
    facts = [metric for metric in catalog.metrics.values() if isinstance(metric, FactMetric)]
    customers = ibis.table({"ordinal": "int64"}, name="customers")
    table = _left_joins(customers.select("ordinal"), metric_tables(facts, properties, parameters))
    zeroes = [numerator(metric.key) for metric in facts if metric.aggregate.fn in ZERO_WHEN_EMPTY]
    table = table.mutate(**{name: table[name].fill_null(0) for name in zeroes})
    for key in dependencies.metric_order(catalog):
        metric = catalog.metrics[key]
        if isinstance(metric, FormulaMetric):
            table = table.mutate(**formula_columns(table, metric, shapes))
    return table


def metric_columns(catalog: Catalog, shapes: Mapping[str, Shape]) -> dict[str, str]:
    """The metrics table's columns and Ibis types, as the second statement reads them."""
    columns: dict[str, str] = {}
    for key in catalog.metrics:
        columns[numerator(key)] = "int64"
        if shapes[key].is_fraction:
            columns[denominator(key)] = "int64"
    return columns


def _inputs(
    metrics: ir.Table,
    catalog: Catalog,
    context: RuleContext,
    salts: Sequence[str],
    before: Sequence[str],
    overrides: ir.Table | None,
) -> ir.Table:
    """Customers with their metrics and every input that is no rule."""
    parts = [ibis.table(metrics.schema(), name="metrics"), *tag_tables(catalog, context)]
    if salts:
        columns = {"ordinal": "int64", **{bucket_column(salt): "int32" for salt in salts}}
        parts.append(ibis.table(columns, name="buckets"))
    if before:
        columns = {"ordinal": "int64", **{before_column(program): "int64" for program in before}}
        parts.append(ibis.table(columns, name="before"))
    if overrides is not None:
        parts.append(overrides)
    return _left_joins(customers_table(), parts)


def _overrides(
    overrides: frozenset[Override], has_objections: bool, lists: Sequence[str]
) -> ir.Table:
    rows = ibis.table({"ordinal": "int64", "kind": "string", "segment": "string"}, name="overrides")
    flags = {
        f"{kind}:{segment}": ((rows.kind == kind) & (rows.segment == segment)).any()
        for segment, kind in sorted(overrides)
    }
    if has_objections:
        flags["objects"] = (rows.kind == "objection").any()
    for key in lists:
        flags[list_column(key)] = ((rows.kind == "list") & (rows.segment == key)).any()
    return rows.group_by("ordinal").agg(**flags)


def _layers(table: ir.Table, context: RuleContext) -> ir.Table:
    return table.mutate(
        **{
            layer_column(layering.key): layer_expression(table, layering, context)
            for layering in context.catalog.layerings.values()
        }
    )


def _rule_tags(table: ir.Table, context: RuleContext) -> ir.Table:
    groups = context.catalog.tag_groups
    for key in dependencies.tag_group_order(context.catalog):
        group = groups[key]
        if group.is_derived:
            table = table.mutate(**_rule_tag(table, group, context))
    return table


def _rule_tag(table: ir.Table, group: TagGroup, context: RuleContext) -> dict[str, ir.Value]:
    verdicts = [(rule.value, rule_expression(table, rule.rule, context)) for rule in group.rules]
    if group.exclusive:
        return {tag_column(group.key): ibis.cases(*((v, value) for value, v in verdicts))}
    return {
        tag_flag(group.key, wanted): fold(
            (verdict for value, verdict in verdicts if value == wanted), or_, ibis.literal(False)
        )
        for wanted in group.values
    }


def _segments(
    table: ir.Table,
    context: RuleContext,
    overrides: frozenset[Override],
    has_objections: bool,
) -> ir.Table:
    """Level by level: a parent reads its children's finished columns, whatever they cost."""
    segments = context.catalog.segments
    for level in _levels(context.catalog):
        columns: dict[str, ir.Value] = {}
        for key in level:
            verdict = rule_expression(table, segments[key].rule, context)
            if (key, "include") in overrides:
                verdict = verdict | table[f"include:{key}"].fill_null(False)
            if (key, "exclude") in overrides:
                verdict = verdict & ~table[f"exclude:{key}"].fill_null(False)
            if has_objections and segments[key].visibility == "hidden":
                verdict = verdict & ~table["objects"].fill_null(False)
            columns[segment_column(key)] = verdict
        table = table.mutate(**columns)
    return table


def _levels(catalog: Catalog) -> list[list[str]]:
    """Segments grouped so that each reads only segments of groups before its own."""
    depth: dict[str, int] = {}
    for key in dependencies.segment_order(catalog):
        needed = dependencies.rule_refs(catalog.segments[key].rule)
        below = [depth[ref.key] for ref in needed if ref.kind == "segment"]
        depth[key] = max(below, default=-1) + 1
    count = max(depth.values(), default=-1) + 1
    return [[key for key in depth if depth[key] == level] for level in range(count)]


def _rank(table: ir.Table, ladder: RankRules, context: RuleContext) -> ir.Value:
    falling = sorted(ladder.rules, key=lambda rule: -rule[0])
    if not falling:
        return ibis.null("int64")
    return ibis.cases(
        *(
            (rule_expression(table, node, context), ibis.literal(rank, type="int64"))
            for rank, node in falling
        )
    )


def _snapshot_columns(
    catalog: Catalog, shapes: Mapping[str, Shape], ladders: Sequence[RankRules]
) -> list[str]:
    columns = ["ordinal", "external_id", *metric_columns(catalog, shapes)]
    columns += [layer_column(key) for key in catalog.layerings]
    for group in catalog.tag_groups.values():
        if group.is_derived and not group.exclusive:
            columns += [tag_flag(group.key, value) for value in group.values]
        else:
            columns.append(tag_column(group.key))
    columns += [segment_column(key) for key in catalog.segments]
    return columns + [rank_column(ladder.key) for ladder in ladders]
