"""Orders of evaluation and dependents, by example (cases S03, S04, S05)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from membership.domain.documents import Source, read_sources
from segmentation.domain.definitions import Catalog
from segmentation.domain.dependencies import (
    CycleError,
    Ref,
    catalog_graph,
    chains_from,
    dependents_of,
    find_cycles,
    metric_order,
    metrics_needed,
    needed_by,
    segment_order,
    tag_group_order,
    topological_order,
)
from segmentation.domain.reading import build_catalog
from segmentation.domain.rules import SegmentLeaf

from .reading_cases import SAMPLE, ZONE


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    reading = read_sources([Source("", SAMPLE)], project_zone=ZONE)
    return build_catalog(tuple(reading.patch.values()))


def segment(key: str) -> Ref:
    return Ref("segment", key)


def test_orders_put_what_is_needed_first(catalog: Catalog) -> None:
    assert segment_order(catalog) == ("app_users", "lapsing_high_value")
    assert tag_group_order(catalog) == ("city_tier", "promo_lover")
    order = metric_order(catalog)
    assert sorted(order) == sorted(catalog.metrics)
    assert order.index("growth_value") > order.index("reviews_365d")


def test_metrics_needed_go_through_layers_tags_segments_and_formulas(catalog: Catalog) -> None:
    rule = catalog.segments["lapsing_high_value"].rule
    assert metrics_needed(catalog, [rule]) == ("net_spend_365d", "days_since_order")
    assert metrics_needed(catalog, [SegmentLeaf("lapsing_high_value")]) == (
        "net_spend_365d",
        "days_since_order",
    )
    needed = needed_by(catalog, [rule])
    assert needed.index(segment("app_users")) >= 0
    assert Ref("layering", "value_layer") in needed


def test_dependents_direct_and_transitive(catalog: Catalog) -> None:
    graph = catalog_graph(catalog)
    spend = Ref("metric", "net_spend_365d")
    assert [str(ref) for ref in dependents_of(graph, spend)] == [
        "layering:spend_quintile",
        "layering:value_layer",
        "metric:growth_value",
    ]
    assert segment("lapsing_high_value") in dependents_of(graph, spend, transitive=True)
    assert dependents_of(graph, segment("lapsing_high_value")) == ()


def test_chains_are_shortest_and_reach_attributes(catalog: Catalog) -> None:
    graph = catalog_graph(catalog)
    chains = chains_from(graph, segment("lapsing_high_value"))
    assert chains[Ref("attr", "channel")] == (
        segment("lapsing_high_value"),
        Ref("attr", "channel"),
    )


def test_a_cycle_names_its_path() -> None:
    a, b, c = segment("a"), segment("b"), segment("c")
    graph = {c: (a,), a: (b,), b: (c,)}
    assert find_cycles(graph) == ((c, a, b, c),)
    with pytest.raises(CycleError, match="c -> a -> b -> c"):
        topological_order(graph)
    assert find_cycles({a: (a,)}) == ((a, a),)


def test_a_long_chain_is_no_recursion() -> None:
    refs = [segment(f"s{n}") for n in range(20_000)]
    graph = {ref: tuple(refs[n + 1 : n + 2]) for n, ref in enumerate(refs)}
    assert topological_order(graph) == tuple(reversed(refs))
    assert find_cycles(graph) == ()
    assert len(chains_from({**graph, refs[0]: (refs[1],)}, refs[19_000])) == 999


def test_a_missing_name_ends_the_walk(catalog: Catalog) -> None:
    broken = replace(catalog, segments={})
    assert metrics_needed(broken, [SegmentLeaf("gone")]) == ()
