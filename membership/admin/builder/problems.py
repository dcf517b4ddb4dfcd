"""Problems of a draft in the reader's language, each at the field it is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from membership.services.draft_documents import Bundle
from segmentation.admin.builder.widgets import LEAF_WORDS, NodeView
from segmentation.domain.errors import Problem
from segmentation.services.wording import named

_WORDS: Mapping[str, str | Promise] = {
    "missing_key": _("Something is missing here."),
    "unknown_key": _("Something here does not belong here."),
    "wrong_type": _("This is not in the form that is needed here."),
    "out_of_range": _("This value is not possible here."),
    "unknown_value": _("There is no such choice here."),
    "duplicate_key": _("This is here twice; keep one."),
    "invalid_key": _("A key has up to 64 lower case letters, digits and “_”, a letter first."),
    "key_taken": _("This key can't be used; choose another one."),
    "key_fixed": _("The key must stay; to make another definition, clone this one."),
    "unknown_metric": _("There is no such metric."),
    "unknown_tag_group": _("There is no such tag."),
    "unknown_tag_value": _("The tag has no such value."),
    "unknown_layer": _("There is no such layering, or not such a layer."),
    "unknown_segment": _("There is no such segment."),
    "unknown_list": _("There is no such list."),
    "unknown_program": _("There is no such program."),
    "unknown_tier": _("The program has no such tier."),
    "unknown_field": _("There is no such field."),
    "cmp_not_allowed": _("This can't be compared in this way."),
    "too_deep": _("This is nested too deeply; use a segment of its own."),
    "too_many_leaves": _("These are too many conditions; move some into another segment."),
    "cycle": _("This leads back to itself."),
    "forbidden_input": _("This must not be used here."),
    "forbidden": _("Your role may not do this."),
    "not_possible": _("This can't be used here."),
    "not_available": _("This belongs to a later release."),
    "in_use": _("Customers still have what the change removes."),
    "has_dependents": _("Other definitions still use it."),
    "zone_mismatch": _("With such rules the time zone must be the project's."),
    "unit_mismatch": _("The unit does not fit what is computed."),
    "upgrade_not_today": _("Facts of today don't count, so upgrades wait until tomorrow."),
    "too_complex": _("This is too complex; make it of fewer parts."),
    "syntax": _("This is neither YAML nor JSON."),
    "unsafe_yaml": _("This kind of YAML is not allowed."),
    "too_large": _("This is too large."),
    "too_precise": _("This has too many decimals."),
}
# What to do first with a new draft in which nobody wrote anything yet.
_NEXT: Mapping[str, str | Promise] = {
    "segment": _("Name it in both languages, choose its purpose, then write its conditions."),
    "metric": _("Name it in both languages, then say what it computes, of what and since when."),
    "tag": _("Name it in both languages, then add its values, each with who gets it."),
    "layering": _("Name it in both languages, then choose the metric and where it is cut."),
    "program": _("Fill in names, terms and tiers."),
}
_QUOTED = re.compile(r'"[^"]*"|“[^”]*”')
# The places of a form as its labels call them.
_FIELDS: Mapping[str, str | Promise] = {
    "/key": _("Key"),
    "/group": _("Key"),
    "/label": _("Name"),
    "/purpose": _("Purpose"),
    "/visibility": _("Visibility"),
    "/unit": _("Unit"),
    "/value_kind": _("Which value it measures"),
    "/source": _("Source"),
    "/aggregate": _("Aggregate"),
    "/aggregate/field": _("Of field"),
    "/window": _("Window"),
    "/time": _("An order counts"),
    "/matured_days": _("Only facts at least this many days old"),
    "/formula": _("Formula"),
    "/values": _("Tag values"),
    "/metric": _("Metric it is cut on"),
    "/cuts": _("Cuts"),
    "/layers": _("Layers"),
    "/rule": _("Rule"),
    "/filter": _("Filter"),
}


def next_steps(kind: str) -> Told:
    """What to do first, and no problems: of an untouched draft they say nothing new."""
    return Told(next=str(_NEXT.get(kind, "")))


def words_of(problem: Problem) -> str:
    """A problem as the reader is told: the English sentence, or its code in their language."""
    if (get_language() or "en").startswith("en"):
        return problem.message
    translated = _WORDS.get(problem.code)
    # A name that the message quotes says nothing about the language of the message.
    said = _QUOTED.sub("", problem.message)
    if translated is None or any(character > "\u2e7f" for character in said):
        return problem.message  # written in the reader's language already
    return str(translated)


@dataclass(slots=True)
class Told:
    """Problems by place: `at` a field's or node's pointer in the subject's document, `elsewhere`
    what lies in other definitions."""

    at: dict[str, list[str]] = field(default_factory=dict)
    elsewhere: list[tuple[str, str]] = field(default_factory=list)
    listed: list[tuple[str, str]] = field(default_factory=list)  # (id of the place, words)
    next: str = ""  # instead of problems: what to do in a draft that nobody wrote in yet

    @property
    def fields(self) -> dict[str, list[str]]:
        """`at` by names that a template can ask for: `/aggregate/field` is `aggregate_field`."""
        return {path.removeprefix("/").replace("/", "_"): words for path, words in self.at.items()}

    def __bool__(self) -> bool:
        return bool(self.at or self.elsewhere)


def tell(
    problems: Iterable[Problem], *, found: Bundle, trees: Iterable[NodeView], fields: Iterable[str]
) -> Told:
    """Put each problem at the nearest place that the form shows."""
    told = Told()
    nodes = {node.path: node for tree in trees for node in tree.walk()}
    places = {*nodes, *fields}
    for problem in problems:
        words = words_of(problem)
        owner = found.owner(problem.path)
        inside = problem.path.startswith(f"{found.path}/") or problem.path == found.path
        if not inside and owner is not None:
            told.elsewhere.append((str(owner), words))
            continue
        place = _nearest(problem.path.removeprefix(found.path), places)
        told.at.setdefault(place, []).append(words)
        node = nodes.get(place)
        if node is not None:
            node.problems.append(words)
        where = _place_words(node, place)
        told.listed.append((anchor(node, place), named(where, words) if where else words))
    return told


def _place_words(node: NodeView | None, place: str) -> str:
    """What a person calls a place: a field's label; of a condition what it looks at, or which of
    its group's it is ("2.1": the first in the second)."""
    if node is None or node.is_root:
        return str(_FIELDS.get(place, ""))
    if node.subject:
        return f"{LEAF_WORDS[node.kind]} “{node.subject_label or node.subject}”"
    number = ".".join(str(int(part) + 1) for part in node.name.split(".")[1:])
    return gettext("Condition %(number)s") % {"number": number}


def anchor(node: NodeView | None, place: str) -> str:
    """The id of the element that shows a place."""
    return node.slot if node is not None else f"field{place.replace('/', '-')}"


def _nearest(path: str, places: set[str]) -> str:
    while path and path not in places:
        path = path.rpartition("/")[0]
    return path
