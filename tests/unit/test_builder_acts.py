"""The buttons of the rule editor, as changes of the document."""

from __future__ import annotations

from typing import Any

import pytest

from segmentation.admin.builder.acts import changed, place_of
from segmentation.admin.builder.nodes import RULE, filter_grammar
from segmentation.admin.builder.rows import acted

A = {"segment": "a", "cmp": "member"}
B = {"segment": "b", "cmp": "member"}
C = {"metric": "c", "cmp": "gte", "value": "1"}
NEW = {"metric": "", "cmp": "gte", "value": ""}
TREE = {"all": [A, {"any": [B, C]}, {"not": A}]}


@pytest.mark.parametrize(
    ("verb", "path", "result"),
    [
        ("add", (), {"all": [*TREE["all"], NEW]}),
        ("add", (1,), {"all": [A, {"any": [B, C, NEW]}, {"not": A}]}),
        ("add", (0,), {"all": [{"all": [A, NEW]}, {"any": [B, C]}, {"not": A}]}),
        ("group", (1,), {"all": [A, {"any": [B, C, {"any": [NEW]}]}, {"not": A}]}),
        ("remove", (1, 0), {"all": [A, {"any": [C]}, {"not": A}]}),
        ("remove", (2, 0), {"all": [A, {"any": [B, C]}, {"all": []}]}),
        ("up", (1,), {"all": [{"any": [B, C]}, A, {"not": A}]}),
        ("up", (0,), TREE),
        ("down", (1, 0), {"all": [A, {"any": [C, B]}, {"not": A}]}),
        ("down", (2,), TREE),
        ("negate", (0,), {"all": [{"not": A}, {"any": [B, C]}, {"not": A}]}),
        ("negate", (2,), {"all": [A, {"any": [B, C]}, A]}),
        ("wrap", (0,), {"all": [{"all": [A]}, {"any": [B, C]}, {"not": A}]}),
        ("ungroup", (1,), {"all": [A, B, C, {"not": A}]}),
        ("include", (1, 1), {"all": [A, {"any": [B, {**C, "if_missing": "match"}]}, {"not": A}]}),
        ("remove", (), None),
        ("remove", (9,), TREE),
        ("add", (1, 7), TREE),
        ("burn", (0,), TREE),
    ],
)
def test_an_act_changes_one_place(verb: str, path: tuple[int, ...], result: Any) -> None:
    before = repr(TREE)
    assert changed(TREE, verb, path, grammar=RULE) == result
    assert repr(TREE) == before  # the document it came from stays


def test_a_root_that_is_gone_starts_again() -> None:
    assert changed(None, "add", (), grammar=RULE) == {"all": [NEW]}
    assert changed(None, "remove", (), grammar=RULE) is None
    blank = {"field": "", "cmp": "eq", "value": ""}
    assert changed(None, "add", (), grammar=filter_grammar("orders")) == {"all": [blank]}


def test_a_root_with_one_child_becomes_it() -> None:
    assert changed({"all": [A]}, "ungroup", (), grammar=RULE) == A
    assert changed(TREE, "ungroup", (), grammar=RULE) == TREE


@pytest.mark.parametrize("name", ["rule.x", "rule.", "rule.1.-1", "rule.99999"])
def test_what_is_no_place(name: str) -> None:
    assert place_of(name) is None
    document = {"key": "k", "rule": TREE}
    assert acted("segment", document, f"remove:{name}") == document


def test_trees_inside_metrics_and_tags() -> None:
    metric = {"source": "orders", "aggregate": {"fn": "share", "where": {"all": []}}}
    blank = {"field": "", "cmp": "eq", "value": ""}
    assert acted("metric", metric, "add:filter")["filter"] == {"all": [blank]}
    assert acted("metric", metric, "add:where")["aggregate"]["where"] == {"all": [blank]}
    filtered = {**metric, "filter": {"all": [blank]}}
    assert "filter" not in acted("metric", filtered, "remove:filter")
    tag = {"rules": [{"value": "x", "rule": A}, {"value": "y", "rule": B}]}
    assert acted("tag", tag, "negate:rule_1")["rules"][1] == {"value": "y", "rule": {"not": B}}
    assert acted("tag", tag, "row_up:1")["rules"] == [tag["rules"][1], tag["rules"][0]]
    assert acted("tag", tag, "row_remove:0")["rules"] == [tag["rules"][1]]


def test_rows_of_layers_keep_their_cuts() -> None:
    layering = {"layers": ["a", "b", "c"], "cuts": ["1", "2"]}
    assert acted("layering", layering, "row_add:") == {
        "layers": ["a", "b", "c", ""], "cuts": ["1", "2", ""],
    }  # fmt: skip
    assert acted("layering", layering, "row_remove:0") == {"layers": ["b", "c"], "cuts": ["2"]}
    assert acted("layering", layering, "row_remove:1") == {"layers": ["a", "c"], "cuts": ["2"]}
    assert acted("layering", layering, "row_remove:2") == {"layers": ["a", "b"], "cuts": ["1"]}
    shares = {"layers": ["a", "b"], "cuts": {"percentiles": ["50"]}}
    assert acted("layering", shares, "row_add:")["cuts"] == {"percentiles": ["50", ""]}
