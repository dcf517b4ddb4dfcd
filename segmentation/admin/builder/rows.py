"""Acts on a whole definition: on the trees in it, and on its rows of rules, terms and layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from segmentation.domain.row_numbers import row_number

from .acts import changed, place_of
from .fields import grammar_of

Document = dict[str, Any]


def acted(kind: str, document: Mapping[str, Any], act: str) -> Document:
    """The document after one button was pressed; as it is for an act that does not fit.

    `verb:place`: a place of a tree (acts.py), or the number of a row for `row_add`, `row_remove`,
    `row_up` and `row_down`.
    """
    verb, _colon, name = act.partition(":")
    whole: Document = dict(document)
    if verb.startswith("row_"):
        return _on_rows(kind, whole, verb.removeprefix("row_"), name)
    place = place_of(name)
    if place is None:
        return whole
    root, path = place
    found = _root(kind, whole, root)
    if found is None:
        return whole
    tree, put = found
    put(changed(tree, verb, path, grammar=grammar_of(kind, root, whole)))
    return whole


def _root(kind: str, document: Document, root: str) -> tuple[Any, Callable[[Any], None]] | None:
    """A tree of the document, and what puts a changed one (None: gone) in its place."""
    if kind == "segment" and root == "rule":
        return document.get("rule"), lambda tree: document.update(rule=tree or {"all": []})
    if kind == "metric" and root == "filter":

        def put_filter(tree: Any) -> None:
            document.pop("filter", None)
            if tree is not None:
                document["filter"] = tree

        return document.get("filter"), put_filter
    if kind == "metric" and root == "where":
        aggregate = dict(document.get("aggregate") or {})

        def put_where(tree: Any) -> None:
            document["aggregate"] = {**aggregate, "where": tree or {"all": []}}

        return aggregate.get("where"), put_where
    position = root.removeprefix("rule_")
    rules = document.get("rules")
    at = row_number(position)
    if kind != "tag" or not isinstance(rules, list) or at is None or at >= len(rules):
        return None
    rule = rules[at]
    if not isinstance(rule, Mapping):
        return None

    def put_rule(tree: Any) -> None:
        fresh = [*rules]
        fresh[at] = {**rule, "rule": tree or {"all": []}}
        document["rules"] = fresh

    return rule.get("rule"), put_rule


def _on_rows(kind: str, document: Document, verb: str, name: str) -> Document:
    at = row_number(name) or 0
    if kind == "tag":
        blank = {"value": "", "rule": {"all": [{"metric": "", "cmp": "gte", "value": ""}]}}
        return {**document, "rules": _rows(document.get("rules"), verb, at, blank)}
    if kind == "metric":
        formula = document.get("formula")
        terms = formula.get("sum") if isinstance(formula, Mapping) else []
        blank = {"metric": "", "times": "1"}
        return {**document, "formula": {"sum": _rows(terms, verb, at, blank)}}
    if kind == "layering":
        return _on_layers(document, verb, at)
    return document


def _rows(rows: Any, verb: str, at: int, blank: Any) -> list[Any]:
    found = list(rows) if isinstance(rows, list) else []
    if verb == "add":
        return [*found, blank]
    if at >= len(found):
        return found
    if verb == "remove":
        del found[at]
    elif verb == "up" and at > 0:
        found[at - 1 : at + 1] = [found[at], found[at - 1]]
    elif verb == "down" and at + 1 < len(found):
        found[at : at + 2] = [found[at + 1], found[at]]
    return found


def _on_layers(document: Document, verb: str, at: int) -> Document:
    """A layer more on top, or one less with the cut below it (of the lowest: above it)."""
    layers = list(document.get("layers") or [])
    cuts = document.get("cuts")
    is_percentiles = isinstance(cuts, Mapping)
    marks = list((cuts.get("percentiles") if isinstance(cuts, Mapping) else cuts) or [])
    if verb == "add":
        layers.append("")
        marks.append("")
    elif verb == "remove" and at < len(layers):
        del layers[at]
        if marks:
            del marks[min(max(at - 1, 0), len(marks) - 1)]
    return {
        **document,
        "layers": layers,
        "cuts": {"percentiles": marks} if is_percentiles else marks,
    }
