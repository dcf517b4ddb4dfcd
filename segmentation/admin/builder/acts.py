"""Changes of a rule's shape: each button of the rule editor, as a change of the document.

An act is `verb:name`, where name is the place of a node (`rule.0.1`, see nodes.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .nodes import GROUPS, RAW, Grammar, kind_of

Path = tuple[int, ...]


def place_of(name: str) -> tuple[str, Path] | None:
    """The root and the way down from it; None for what is no name."""
    root, *steps = name.split(".")
    if not all(step.isdigit() and len(step) < 5 for step in steps):
        return None
    return root, tuple(int(step) for step in steps)


def children(node: Any) -> list[Any]:
    """The nodes below a node, in order."""
    kind = kind_of(node)
    if kind in GROUPS:
        return list(node[kind])
    return [node["not"]] if kind == "not" else []


def changed(tree: Any, verb: str, path: Path, *, grammar: Grammar) -> Any:
    """The tree after an act at a node; None when nothing is left; unchanged when it can't be."""
    if verb not in _ACTS or (tree is None and verb not in ("add", "group")):
        return tree
    if tree is None:
        return {"all": [_new(verb, grammar)]}
    if verb in _AMONG_SIBLINGS and path:
        *above, position = path
        return _at(tree, tuple(above), lambda parent: _among(parent, verb, position))
    if verb in ("up", "down"):
        return tree
    if verb == "remove":
        return None
    return _at(tree, path, lambda node: _ACTS[verb](node, grammar))


def _at(node: Any, path: Path, change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(node)
    kind, below = kind_of(node), children(node)
    if path[0] >= len(below):
        return node
    below[path[0]] = _at(below[path[0]], path[1:], change)
    return {"not": below[0]} if kind == "not" else {kind: below}


def _new(verb: str, grammar: Grammar) -> dict[str, Any]:
    return {"any": [grammar.blank()]} if verb == "group" else grammar.blank()


def _append(node: Any, item: Any) -> Any:
    kind = kind_of(node)
    if kind in GROUPS:
        return {kind: [*node[kind], item]}
    return {"all": [node, item]}


def _among(parent: Any, verb: str, position: int) -> Any:
    kind, below = kind_of(parent), children(parent)
    if position >= len(below):
        return parent
    if kind == "not":  # its only child goes: so does the negation, an empty group is left
        return {"all": []} if verb == "remove" else parent
    if verb == "remove":
        del below[position]
    elif verb == "up" and position > 0:
        below[position - 1 : position + 1] = [below[position], below[position - 1]]
    elif verb == "down" and position + 1 < len(below):
        below[position : position + 2] = [below[position + 1], below[position]]
    elif verb == "ungroup" and kind_of(below[position]) in GROUPS:
        below[position : position + 1] = children(below[position])
    return {kind: below}


def _negate(node: Any, grammar: Grammar) -> Any:
    return node["not"] if kind_of(node) == "not" else {"not": node}


def _ungroup(node: Any, grammar: Grammar) -> Any:
    """A root that holds one node becomes that node."""
    below = children(node)
    return below[0] if kind_of(node) in GROUPS and len(below) == 1 else node


def _include(node: Any, grammar: Grammar) -> Any:
    """Customers without a value match."""
    if kind_of(node) == RAW or not isinstance(node, Mapping):
        return node
    return {**node, "if_missing": "match"}


_ACTS: Mapping[str, Callable[[Any, Grammar], Any]] = {
    "add": lambda node, grammar: _append(node, _new("add", grammar)),
    "group": lambda node, grammar: _append(node, _new("group", grammar)),
    "wrap": lambda node, grammar: {"all": [node]},
    "negate": _negate,
    "ungroup": _ungroup,
    "include": _include,
    "remove": lambda node, grammar: None,
    "up": lambda node, grammar: node,
    "down": lambda node, grammar: node,
}
_AMONG_SIBLINGS = ("remove", "up", "down", "ungroup")
