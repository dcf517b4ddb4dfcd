"""What refers to what: cycles, orders of evaluation, dependents, chains.

A graph maps each definition to what it names, in document order. Names that are no key of the
graph (attributes, lists, unknown names, and programs in a catalog's graph: a `tier` leaf reads the
membership before the run) end a walk. No function recurses, so long chains are safe.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from .definitions import Catalog, FormulaMetric
from .rules import (
    AttrLeaf,
    LayerLeaf,
    ListLeaf,
    MetricLeaf,
    Node,
    SegmentLeaf,
    TagLeaf,
    TierLeaf,
    leaves,
)


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """A definition by kind (tag, metric, layering, segment, program, list, attr) and key."""

    kind: str
    key: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"


Graph = Mapping[Ref, tuple[Ref, ...]]


class CycleError(ValueError):
    """A cycle; `cycle` starts and ends with the same definition."""

    def __init__(self, cycle: tuple[Ref, ...]) -> None:
        super().__init__(" -> ".join(ref.key for ref in cycle))
        self.cycle = cycle


def rule_refs(node: Node) -> tuple[Ref, ...]:
    """What a rule names, without repeats, in document order."""
    found: dict[Ref, None] = {}
    for leaf in leaves(node):
        if isinstance(leaf, MetricLeaf):
            found[Ref("metric", leaf.metric)] = None
        elif isinstance(leaf, TagLeaf):
            found[Ref("tag", leaf.group)] = None
        elif isinstance(leaf, LayerLeaf):
            found[Ref("layering", leaf.layering)] = None
        elif isinstance(leaf, SegmentLeaf):
            found[Ref("segment", leaf.segment)] = None
        elif isinstance(leaf, ListLeaf):
            found[Ref("list", leaf.list)] = None
        elif isinstance(leaf, TierLeaf):
            found[Ref("program", leaf.program)] = None
        elif isinstance(leaf, AttrLeaf):
            found[Ref("attr", leaf.attr)] = None
    return tuple(found)


def catalog_graph(catalog: Catalog) -> dict[Ref, tuple[Ref, ...]]:
    """Every definition of the catalog with what it names."""
    graph: dict[Ref, tuple[Ref, ...]] = {}
    for metric in catalog.metrics.values():
        terms = metric.terms if isinstance(metric, FormulaMetric) else ()
        graph[Ref("metric", metric.key)] = _distinct(Ref("metric", term.metric) for term in terms)
    for layering in catalog.layerings.values():
        graph[Ref("layering", layering.key)] = (Ref("metric", layering.metric),)
    for group in catalog.tag_groups.values():
        graph[Ref("tag", group.key)] = _distinct(
            ref for tag_rule in group.rules for ref in rule_refs(tag_rule.rule)
        )
    for segment in catalog.segments.values():
        graph[Ref("segment", segment.key)] = rule_refs(segment.rule)
    return graph


def _distinct(refs: Iterable[Ref]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(refs))


def lists_used(catalog: Catalog) -> tuple[str, ...]:
    """The customer lists that some rule reads, sorted."""
    named = {ref for used in catalog_graph(catalog).values() for ref in used}
    return tuple(sorted(ref.key for ref in named if ref.kind == "list"))


def find_cycles(graph: Graph) -> tuple[tuple[Ref, ...], ...]:
    """One cycle per back edge of a depth-first walk; () exactly when there is no cycle.

    Each starts and ends with the same definition, so a self-reference is (a, a). Diamonds are no
    cycles. The result depends only on the graph and its order.
    """
    found: list[tuple[Ref, ...]] = []
    done: set[Ref] = set()
    for root in graph:
        if root in done:
            continue
        trail: dict[Ref, None] = {root: None}
        walks: list[Iterator[Ref]] = [iter(graph[root])]
        while walks:
            following = next(walks[-1], None)
            if following is None:
                walks.pop()
                done.add(trail.popitem()[0])
            elif following in trail:
                path = list(trail)
                found.append((*path[path.index(following) :], following))
            elif following in graph and following not in done:
                trail[following] = None
                walks.append(iter(graph[following]))
    return tuple(found)


def topological_order(graph: Graph, roots: Iterable[Ref] | None = None) -> tuple[Ref, ...]:
    """The roots (default: everything) and all they need, each after what it needs.

    Deterministic: ties keep the graph's order. Raises CycleError.
    """
    order: dict[Ref, None] = {}
    for root in graph if roots is None else roots:
        if root in order or root not in graph:
            continue
        trail: dict[Ref, None] = {root: None}
        walks: list[Iterator[Ref]] = [iter(graph[root])]
        while walks:
            following = next(walks[-1], None)
            if following is None:
                walks.pop()
                order[trail.popitem()[0]] = None
            elif following in trail:
                path = list(trail)
                raise CycleError((*path[path.index(following) :], following))
            elif following in graph and following not in order:
                trail[following] = None
                walks.append(iter(graph[following]))
    return tuple(order)


def chains_from(graph: Graph, root: Ref) -> dict[Ref, tuple[Ref, ...]]:
    """Everything `root` names directly or through others, with a shortest chain from `root`.

    Names outside the graph are included; `root` itself only when it is in a cycle.
    """
    chains: dict[Ref, tuple[Ref, ...]] = {}
    waiting: deque[tuple[Ref, tuple[Ref, ...]]] = deque([(root, (root,))])
    while waiting:
        ref, chain = waiting.popleft()
        for following in graph.get(ref, ()):
            if following not in chains:
                chains[following] = (*chain, following)
                waiting.append((following, chains[following]))
    return chains


def dependents_of(graph: Graph, ref: Ref, *, transitive: bool = False) -> tuple[Ref, ...]:
    """Which definitions name `ref`, sorted; with `transitive` also through others."""
    users: dict[Ref, list[Ref]] = {}
    for user, used in graph.items():
        for target in used:
            users.setdefault(target, []).append(user)
    found: set[Ref] = set()
    waiting = [ref]
    while waiting:
        for user in users.get(waiting.pop(), ()):
            if user not in found:
                found.add(user)
                if transitive:
                    waiting.append(user)
    return tuple(sorted(found - {ref}))


def evaluation_order(catalog: Catalog, kind: str) -> tuple[str, ...]:
    """The keys of one kind, each after those of the same kind that it needs. Raises CycleError."""
    graph = catalog_graph(catalog)
    roots = [ref for ref in graph if ref.kind == kind]
    return tuple(ref.key for ref in topological_order(graph, roots) if ref.kind == kind)


def metric_order(catalog: Catalog) -> tuple[str, ...]:
    """Metrics, formulas after their terms."""
    return evaluation_order(catalog, "metric")


def tag_group_order(catalog: Catalog) -> tuple[str, ...]:
    """Tag groups, rule groups after the groups they read."""
    return evaluation_order(catalog, "tag")


def segment_order(catalog: Catalog) -> tuple[str, ...]:
    """Segments, each after the segments it reads."""
    return evaluation_order(catalog, "segment")


def needed_by(catalog: Catalog, rules: Iterable[Node]) -> tuple[Ref, ...]:
    """Everything of the catalog that the rules need, each after what it needs itself."""
    roots = _distinct(ref for rule in rules for ref in rule_refs(rule))
    return topological_order(catalog_graph(catalog), roots)


def metrics_needed(catalog: Catalog, rules: Iterable[Node]) -> tuple[str, ...]:
    """The metrics that the rules need directly or through others, formulas after their terms."""
    return tuple(ref.key for ref in needed_by(catalog, rules) if ref.kind == "metric")
