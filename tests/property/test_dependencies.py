"""Random graphs: cycles and orders against the plain definition of each (case S03)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from membership.domain.candidates import Stored
from segmentation.domain.dependencies import (
    CycleError,
    Graph,
    Ref,
    chains_from,
    dependents_of,
    find_cycles,
    topological_order,
)
from tests.unit.reading_cases import codes, segments_document

REFS = [Ref("segment", f"s{n}") for n in range(8)]


@st.composite
def graphs(draw: st.DrawFn) -> dict[Ref, tuple[Ref, ...]]:
    size = draw(st.integers(1, len(REFS)))
    nodes = REFS[:size]
    targets = st.lists(st.sampled_from(nodes), max_size=3, unique=True).map(tuple)
    return {ref: draw(targets) for ref in draw(st.permutations(nodes))}


def reachable(graph: Graph, start: Ref) -> set[Ref]:
    """Everything at least one step away, by repeated widening."""
    found: set[Ref] = set(graph[start])
    while True:
        wider = found | {target for ref in found for target in graph[ref]}
        if wider == found:
            return found
        found = wider


@given(graphs())
def test_a_cycle_is_found_exactly_when_something_reaches_itself(
    graph: dict[Ref, tuple[Ref, ...]],
) -> None:
    has_cycle = any(ref in reachable(graph, ref) for ref in graph)
    cycles = find_cycles(graph)
    assert bool(cycles) is has_cycle
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in graph[before] for before, after in pairwise(cycle))


@given(graphs())
def test_the_order_puts_everything_after_what_it_needs(graph: dict[Ref, tuple[Ref, ...]]) -> None:
    if find_cycles(graph):
        with pytest.raises(CycleError) as caught:
            topological_order(graph)
        assert caught.value.cycle[0] == caught.value.cycle[-1]
        return
    order = topological_order(graph)
    assert sorted(order) == sorted(graph)
    for ref, used in graph.items():
        assert all(order.index(target) < order.index(ref) for target in used)


@given(graphs())
def test_chains_and_dependents_are_the_two_directions_of_reach(
    graph: dict[Ref, tuple[Ref, ...]],
) -> None:
    for ref in graph:
        chains = chains_from(graph, ref)
        assert set(chains) == reachable(graph, ref)
        for target, chain in chains.items():
            assert (chain[0], chain[-1]) == (ref, target)
            assert all(b in graph[a] for a, b in pairwise(chain))
        users = {other for other in graph if ref in reachable(graph, other)} - {ref}
        assert dependents_of(graph, ref, transitive=True) == tuple(sorted(users))
        assert dependents_of(graph, ref) == tuple(
            sorted(other for other in graph if ref in graph[other] and other != ref)
        )


@settings(max_examples=60, deadline=None)
@given(graphs())
def test_a_document_is_refused_exactly_for_the_segments_in_a_cycle(
    graph: dict[Ref, tuple[Ref, ...]],
) -> None:
    """S03, through the whole reader: every refused place is the use that goes on along a cycle."""
    edges = {ref.key: " ".join(used.key for used in uses) for ref, uses in graph.items()}
    found = codes(segments_document(**edges), on=Stored())
    assert bool(found) is any(ref in reachable(graph, ref) for ref in graph)
    order = list(graph)
    for path, code in found:
        _empty, _section, position, _rule, _any, use = path.split("/")
        ref = order[int(position)]
        assert code == "cycle"
        following = graph[ref][int(use)]
        assert ref == following or ref in reachable(graph, following)
