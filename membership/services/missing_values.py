"""Where customers may have no value in the rules of a drafted definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any as Json

from membership.domain.programs import Program, ProgramVersion
from segmentation.domain.dependencies import Ref
from segmentation.domain.rules import (
    BOOLEAN_ATTRS,
    All,
    Any,
    AttrLeaf,
    LayerLeaf,
    MetricLeaf,
    Node,
    Not,
    TagLeaf,
)

from .draft_definitions import DraftDefinitions

Leaf = MetricLeaf | TagLeaf | AttrLeaf | LayerLeaf
Running = Sequence[tuple[Program, ProgramVersion]]


@dataclass(frozen=True, slots=True)
class Place:
    """A leaf at which a customer may have no value.

    `can_include`: `if_missing: match` would take whoever has none in.
    """

    path: str  # a JSON pointer into the definition
    leaf: Leaf
    can_include: bool

    @property
    def name(self) -> str:
        """What the leaf reads: `metric:spend`."""
        match self.leaf:
            case MetricLeaf():
                return f"metric:{self.leaf.metric}"
            case TagLeaf():
                return f"tag:{self.leaf.group}"
            case LayerLeaf():
                return f"layer:{self.leaf.layering}"
            case AttrLeaf():
                return f"attr:{self.leaf.attr}"

    @property
    def missing(self) -> Node:
        """The rule that holds for whoever has no value here."""
        match self.leaf:
            case MetricLeaf():
                return MetricLeaf(self.leaf.metric, "is_not_set", None)
            case TagLeaf():
                return TagLeaf(self.leaf.group, "is_not_set", None)
            case LayerLeaf():
                return LayerLeaf(self.leaf.layering, "is_not_set", None)
            case AttrLeaf():
                return AttrLeaf(self.leaf.attr, "is_not_set", None)


def places(
    draft: DraftDefinitions, ref: Ref, *, document: Mapping[str, Json], running: Running
) -> Iterator[Place]:
    """The places of one definition, in document order.

    Those of a program only while its newest version is among the `running` ones.
    """
    catalog = draft.catalog
    match ref.kind:
        case "metric":
            yield Place("", MetricLeaf(ref.key, "is_set", None), False)
        case "layering":
            metric = catalog.layerings[ref.key].metric
            yield Place("/metric", MetricLeaf(metric, "is_set", None), False)
        case "segment":
            yield from _of_rule(catalog.segments[ref.key].rule, "/rule")
        case "tag":
            for number, rule in enumerate(catalog.tag_groups[ref.key].rules):
                yield from _of_rule(rule.rule, f"/rules/{number}/rule")
        case "program":
            yield from _of_program(draft, ref.key, document, running)


def _of_program(
    draft: DraftDefinitions, key: str, document: Mapping[str, Json], running: Running
) -> Iterator[Place]:
    newest = next(program.versions[-1] for program in draft.programs if program.key == key)
    if newest not in [version for program, version in running if program.key == key]:
        return
    # Tiers are kept by rank; a document may write them in any order.
    written = [one for one in document.get("programs", ()) if one.get("key") == key]
    order = [tier["key"] for one in written for tier in one["version"]["tiers"]]
    order = order or [tier.key for tier in newest.tiers]
    for tier in newest.tiers:
        yield from _of_rule(tier.rule, f"/version/tiers/{order.index(tier.key)}/rule")


def _of_rule(node: Node, path: str) -> Iterator[Place]:
    match node:
        case All(children) | Any(children):
            name = "all" if isinstance(node, All) else "any"
            for number, child in enumerate(children):
                yield from _of_rule(child, f"{path}/{name}/{number}")
        case Not(child):
            yield from _of_rule(child, f"{path}/not")
        case MetricLeaf() | TagLeaf() | LayerLeaf():
            yield _place(path, node)
        case AttrLeaf() if node.attr not in BOOLEAN_ATTRS:
            yield _place(path, node)


def _place(path: str, leaf: Leaf) -> Place:
    asks = leaf.cmp not in ("is_set", "is_not_set")
    return Place(path, leaf, can_include=asks and not leaf.if_missing)
