"""Rules and filters drawn as form fields: what the templates of the rule editor show."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.reading import pointer
from segmentation.domain.reading.fields import FIELDS, is_property
from segmentation.domain.reading.operands import OperandType

from ..documents import as_yaml
from .nodes import GROUPS, RAW, Grammar, cmps_of, kind_of, operand_type
from .vocabulary import Vocabulary

LEAF_WORDS: Mapping[str, str | Promise] = {
    "metric": gettext_lazy("Metric"),
    "tag": gettext_lazy("Tag"),
    "attr": gettext_lazy("Attribute"),
    "layer": gettext_lazy("Layer"),
    "segment": gettext_lazy("Segment"),
    "list": gettext_lazy("List"),
    "tier": gettext_lazy("Tier"),
    "bucket": gettext_lazy("Random group"),
    "field": gettext_lazy("Field"),
}
CMP_WORDS: Mapping[str, str | Promise] = {
    "eq": gettext_lazy("is"),
    "ne": gettext_lazy("is not"),
    "gt": gettext_lazy("is above"),
    "gte": gettext_lazy("is at least"),
    "lt": gettext_lazy("is below"),
    "lte": gettext_lazy("is at most"),
    "between": gettext_lazy("is between"),
    "in": gettext_lazy("is one of"),
    "not_in": gettext_lazy("is none of"),
    "contains": gettext_lazy("contains"),
    "is_set": gettext_lazy("is known"),
    "is_not_set": gettext_lazy("is not known"),
    "at_least": gettext_lazy("is at least"),
}
_NO_VALUE = ("is_set", "is_not_set")
MOST_BOXES = 24  # more values than this are typed, one a line


@dataclass(frozen=True, slots=True)
class Choice:
    value: str
    words: str | Promise
    is_chosen: bool = False


@dataclass(slots=True)
class Control:
    """Where a value is typed or chosen. `shape`: text, number, date, range, dates, lines, choice,
    choices, none."""

    shape: str = "none"
    values: list[str] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    options: str = ""  # id of a list of suggestions


@dataclass(slots=True)
class NodeView:
    """One node of a tree, ready to be drawn; `name` starts its fields, `path` is its pointer."""

    name: str
    path: str
    kind: str
    position: int = 0
    is_last: bool = True
    is_root: bool = True
    children: list[NodeView] = field(default_factory=list)
    kinds: list[Choice] = field(default_factory=list)
    subject: str = ""
    subject_label: str = ""
    note: str = ""
    is_subject_unknown: bool = False
    cmps: list[Choice] = field(default_factory=list)
    control: Control = field(default_factory=Control)
    may_miss: bool = False
    is_missing: bool = False
    declared: str | None = None  # the type of an event's property
    bucket: Mapping[str, str] = field(default_factory=dict)
    raw: str = ""
    raw_words: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def is_group(self) -> bool:
        return self.kind in GROUPS

    @property
    def is_leaf(self) -> bool:
        return self.kind not in (*GROUPS, "not", RAW)

    @property
    def suggestions(self) -> str:
        """The id of the list of names to choose the subject from."""
        return f"names-{self.kind}"

    @property
    def slot(self) -> str:
        """An id for what the preview says about this node."""
        return "about-" + self.name.replace(".", "-")

    def walk(self) -> list[NodeView]:
        return [self, *(found for child in self.children for found in child.walk())]


def node_view(node: Any, *, name: str, path: str, grammar: Grammar, words: Vocabulary) -> NodeView:
    """A node and everything below it. `path` is its JSON pointer in the definition's document."""
    kind = kind_of(node)
    view = NodeView(name=name, path=path, kind=kind)
    if kind in GROUPS:
        for position, child in enumerate(node[kind]):
            below = pointer(pointer(path, kind), position)
            view.children.append(_child(child, view, position, below, grammar, words))
        view.kinds = [
            Choice("all", _("All of these"), kind == "all"),
            Choice("any", _("At least one of these"), kind == "any"),
        ]
        for child in view.children:
            child.is_last = child.position == len(view.children) - 1
    elif kind == "not":
        view.children.append(_child(node["not"], view, 0, pointer(path, "not"), grammar, words))
    elif kind == RAW:
        view.raw = json.dumps(node, ensure_ascii=False, sort_keys=True)
        view.raw_words = as_yaml(node)
    else:
        _fill_leaf(view, node, grammar, words)
    return view


def _child(
    node: Any, parent: NodeView, position: int, path: str, grammar: Grammar, words: Vocabulary
) -> NodeView:
    name = f"{parent.name}.{position}"
    view = node_view(node, name=name, path=path, grammar=grammar, words=words)
    view.position, view.is_root = position, False
    return view


def _fill_leaf(
    view: NodeView, leaf: Mapping[str, Any], grammar: Grammar, words: Vocabulary
) -> None:
    kind = view.kind
    view.kinds = [Choice(name, LEAF_WORDS[name], name == kind) for name in grammar.leaves]
    if kind not in grammar.leaves:
        view.kinds.append(Choice(kind, LEAF_WORDS[kind], True))
    if kind == "bucket":
        view.bucket = {end: str(leaf["bucket"].get(end, "")) for end in ("salt", "from", "to")}
        return
    view.subject = leaf[kind]
    _name_subject(view, grammar, words)
    if kind in ("segment", "list"):
        return
    declared = str(leaf.get("type") or "")
    type_ = operand_type(kind, view.subject, source=grammar.source, declared=declared)
    cmp = str(leaf.get("cmp", ""))
    possible = list(cmps_of(kind, type_))
    if cmp not in possible:
        possible.append(cmp)
    view.cmps = [Choice(name, CMP_WORDS.get(name, name), name == cmp) for name in possible]
    view.control = _control(view, leaf.get("value", ""), cmp, type_, words)
    view.may_miss = kind in ("metric", "tag", "layer") or (
        kind == "attr" and type_ not in (None, "boolean")
    )
    view.may_miss = view.may_miss and cmp not in _NO_VALUE
    view.is_missing = leaf.get("if_missing") == "match"
    if kind == "field" and is_property(view.subject):
        view.declared = declared or "text"


def _name_subject(view: NodeView, grammar: Grammar, words: Vocabulary) -> None:
    if view.kind == "field":
        known = FIELDS.get(grammar.source, {})
        view.is_subject_unknown = view.subject not in known and not is_property(view.subject)
        return
    labels = dict(words.options(view.kind))
    view.subject_label = labels.get(view.subject, "")
    view.is_subject_unknown = view.subject not in labels
    if view.kind == "metric":
        view.note = words.metric_note(view.subject)


def _control(
    view: NodeView, value: Any, cmp: str, type_: OperandType | None, words: Vocabulary
) -> Control:
    if cmp in _NO_VALUE:
        return Control()
    texts = [_text(item) for item in (value if isinstance(value, list) else [value])]
    if view.kind == "tier":
        word = words.of("tier", view.subject)
        return _chosen(texts, word.named_values() if word else {}, one=True)
    if type_ == "boolean":
        return _chosen(texts, {"true": _("yes"), "false": _("no")}, one=True)
    if type_ in ("tag", "layer"):
        word = words.of("tag" if type_ == "tag" else "layer", view.subject)
        values = word.named_values() if word else {}
        if cmp in ("in", "not_in") and 0 < len(values) <= MOST_BOXES:
            return _chosen(texts, values, one=False)
        if cmp in ("eq", "ne") and values:
            return _chosen(texts, values, one=True)
    if cmp in ("in", "not_in"):
        return Control("lines", [text for text in texts if text])
    if type_ == "date":
        return Control("dates" if cmp == "between" else "date", [*texts, ""][:2])
    if type_ == "number":
        return Control("range" if cmp == "between" else "number", [*texts, ""][:2])
    return Control("range" if cmp == "between" else "text", [*texts, ""][:2])


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _chosen(texts: Collection[str], values: Mapping[str, Any], *, one: bool) -> Control:
    """Values to choose from, and what is chosen although it is none of them."""
    chosen = [text for text in texts if text]
    named = dict(values) | {text: text for text in chosen if text not in values}
    if chosen != [value for value in named if value in chosen]:
        named = {text: named[text] for text in chosen} | named  # they keep the order they have
    choices = [Choice(value, words, value in texts) for value, words in named.items()]
    if one and not any(choice.is_chosen for choice in choices):
        choices.insert(0, Choice("", _("choose"), True))
    return Control("choice" if one else "choices", choices=choices)
