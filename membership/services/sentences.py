"""One plain sentence that says why: the values had and needed, in both languages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as _
from django.utils.translation import override

from membership.domain.programs import Program, Tier
from segmentation.domain.definitions import Catalog, FactMetric, Label, Segment
from segmentation.domain.explain import (
    LeafTrace,
    NodeTrace,
    Reason,
    Trace,
    actual_text,
    decisive,
    gap_text,
    needed_text,
)
from segmentation.services.wording import (
    ATTRIBUTE_LABELS,
    comparison_words,
    interval_words,
    moment_words,
    window_words,
)

LANGUAGES = ("en", "zh-hans")
# What "not" makes of a comparison with a value that is there, where the plain negation would be
# hard to read: not at least 5 is below 5.
_CONTRARY = {
    "gt": "lte",
    "gte": "lt",
    "lt": "gte",
    "lte": "gt",
    "ne": "eq",
    "not_in": "in",
    "at_least": "lt",
}


@dataclass(frozen=True, slots=True)
class Scene:
    """What a sentence needs to know besides the trees."""

    catalog: Catalog
    programs: Mapping[str, Program]
    tiers: Mapping[str, Mapping[str, Label]]  # program -> tier -> label
    as_of: datetime
    zone: ZoneInfo
    currency: str
    lists: Mapping[str, Label] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TierTrace:
    tier: Tier
    tree: Trace


def segment_sentence(
    segment: Segment,
    *,
    verdict: bool,
    tree: Trace,
    manual: str | None,
    objects: bool,
    scene: Scene,
) -> Mapping[str, str]:
    """Why a customer is in the segment or not, by language.

    `manual` is `include` or `exclude` when a person decided, `objects` whether an objection did.
    """

    def sentence(language: str) -> str:
        opening = _("In %(name)s") if verdict else _("Not in %(name)s")
        if objects:
            reason = _("objects to personalised decisions")
        elif manual == "exclude":
            reason = _("kept out by hand")
        elif manual == "include":
            reason = _("put in by hand")
        else:
            reason = _reasons(tree, scene, language)
        return _close(opening % {"name": _label(segment.label, language)}, reason, scene)

    return _in_each_language(sentence)


def tier_sentence(
    program: Program, *, traces: Sequence[TierTrace], scene: Scene
) -> Mapping[str, str]:
    """Which tier a customer qualifies for and what the next one lacks; tiers highest first."""

    def sentence(language: str) -> str:
        names = {"program": _label(program.label, language)}
        missed = [found for found in traces if not found.tree.verdict]
        reached = next((found for found in traces if found.tree.verdict), None)
        above = [m for m in missed if reached is None or m.tier.rank > reached.tier.rank]
        parts = []
        if reached is not None:
            opening = _("Qualifies for %(tier)s in %(program)s") % (
                names | {"tier": _label(reached.tier.label, language)}
            )
            parts.append(_close(opening, _reasons(reached.tree, scene, language), scene))
        if above:
            nearest = above[-1]
            opening = _("Does not qualify for %(tier)s in %(program)s") % (
                names | {"tier": _label(nearest.tier.label, language)}
            )
            parts.append(_close(opening, _reasons(nearest.tree, scene, language), scene))
        if not traces:
            return _("%(program)s has no tiers in force (as of %(as_of)s).") % (
                names | {"as_of": moment_words(scene.as_of, zone=scene.zone)}
            )
        if len(parts) == 1:
            return parts[0]
        return _("%(first)s %(second)s") % {"first": parts[0], "second": parts[1]}

    return _in_each_language(sentence)


def _in_each_language(sentence: Callable[[str], str]) -> Mapping[str, str]:
    texts = {}
    for language in LANGUAGES:
        with override(language):
            texts[language] = sentence(language)
    return texts


def _close(opening: str, reason: str, scene: Scene) -> str:
    as_of = moment_words(scene.as_of, zone=scene.zone)
    return _("%(opening)s: %(reason)s (as of %(as_of)s).") % {
        "opening": opening,
        "reason": reason,
        "as_of": as_of,
    }


def _label(label: Label, language: str) -> str:
    return label.en if language == "en" else label.zh_hans


def _reasons(tree: Trace, scene: Scene, language: str) -> str:
    reasons = decisive(tree)
    if not reasons:  # a rule without a leaf: `all: []` or `any: []`
        return _("the rule asks for nothing") if tree.verdict else _("the rule matches nobody")
    # Of a missed `any` one of the reasons would have been enough.
    is_choice = isinstance(tree, NodeTrace) and tree.node == "any" and not tree.verdict
    separator = _("; or: ") if is_choice else _("; ")
    return separator.join(_reason(reason, scene, language) for reason in reasons)


def _reason(reason: Reason, scene: Scene, language: str) -> str:
    leaf = reason.leaf
    if leaf.kind == "segment":
        name = {"name": _label(scene.catalog.segments[leaf.key].label, language)}
        return (_("is in %(name)s") if leaf.verdict else _("is not in %(name)s")) % name
    if leaf.kind == "list":
        label = scene.lists.get(leaf.key)
        name = {"name": leaf.key if label is None else _label(label, language)}
        on, off = _("is on the list %(name)s"), _("is not on the list %(name)s")
        return (on if leaf.verdict else off) % name
    need, contrary = _need(leaf, scene, language), None
    if not leaf.missing and not reason.wanted and leaf.cmp in _CONTRARY:
        contrary = _need(replace(leaf, cmp=_CONTRARY[leaf.cmp]), scene, language)
    if leaf.cmp == "contains":
        pattern = _containing_pattern(reason)
    elif leaf.missing:
        pattern = _missing_pattern(reason)
    else:
        pattern = _present_pattern(reason, has_contrary=contrary is not None)
    gap = gap_text(leaf, currency=scene.currency)
    if gap is not None and not leaf.missing and reason.wanted and leaf.cmp == "gte":
        pattern = _("%(subject)s is %(have)s, must be %(need)s (%(gap)s more)")
    return pattern % {
        "subject": _subject(leaf, scene, language),
        "need": contrary or need,
        "value": leaf.value,
        "have": "" if leaf.missing else _listed(_actual(leaf, scene, language)),
        "gap": gap,
    }


def _present_pattern(reason: Reason, *, has_contrary: bool) -> str:
    verdict, wanted = reason.leaf.verdict, reason.wanted
    if has_contrary:
        verdict, wanted = not verdict, not wanted
    match verdict, wanted:
        case True, True:
            return _("%(subject)s is %(have)s, which is %(need)s")
        case True, False:
            return _("%(subject)s is %(have)s, must not be %(need)s")
        case False, True:
            return _("%(subject)s is %(have)s, must be %(need)s")
        case _:
            return _("%(subject)s is %(have)s, which is not %(need)s")


def _containing_pattern(reason: Reason) -> str:
    """As the other two, with a verb: "must be containing" is no English."""
    leaf = reason.leaf
    if leaf.missing:
        if reason.wanted and not leaf.verdict:
            return _("%(subject)s is missing, must contain %(value)s")
        return _missing_pattern(reason)
    match leaf.verdict, reason.wanted:
        case True, True:
            return _("%(subject)s is %(have)s, which contains %(value)s")
        case True, False:
            return _("%(subject)s is %(have)s, must not contain %(value)s")
        case False, True:
            return _("%(subject)s is %(have)s, must contain %(value)s")
        case _:
            return _("%(subject)s is %(have)s, which does not contain %(value)s")


def _missing_pattern(reason: Reason) -> str:
    match reason.leaf.verdict, reason.wanted:
        case True, True:
            return _("%(subject)s is missing, which counts as %(need)s")
        case True, False:
            return _("%(subject)s is missing, which counts as %(need)s and must not")
        case False, True:
            return _("%(subject)s is missing, must be %(need)s")
        case _:
            return _("%(subject)s is missing, which does not count as %(need)s")


def _subject(leaf: LeafTrace, scene: Scene, language: str) -> str:
    catalog = scene.catalog
    match leaf.kind:
        case "metric":
            metric = catalog.metrics[leaf.key]
            name = _label(metric.label, language)
            if not isinstance(metric, FactMetric) or leaf.interval is None:
                return name
            return _("%(name)s (%(window)s, %(interval)s)") % {
                "name": name,
                "window": window_words(metric.window),
                "interval": interval_words(leaf.interval, zone=scene.zone),
            }
        case "layer":
            return _label(catalog.layerings[leaf.key].label, language)
        case "tag":
            return _label(catalog.tag_groups[leaf.key].label, language)
        case "tier":
            program = scene.programs.get(leaf.key)
            name = _label(program.label, language) if program else leaf.key
            return _("Tier held before in %(program)s") % {"program": name}
        case "bucket":
            return _("Random number under %(salt)s") % {"salt": leaf.key}
        case _:
            return str(ATTRIBUTE_LABELS[leaf.key])


def _need(leaf: LeafTrace, scene: Scene, language: str) -> str:
    needed = needed_text(leaf, currency=scene.currency)
    if leaf.kind == "bucket":
        return _("in the range %(low)s to %(high)s, the end excluded") % {
            "low": needed[0],
            "high": needed[1],
        }
    if leaf.kind == "tier":
        needed = _tier_name(leaf.key, needed, scene, language)
    if isinstance(needed, bool):
        needed = _yes_no(needed)
    return comparison_words(leaf.cmp, needed)


def _actual(leaf: LeafTrace, scene: Scene, language: str) -> str | list[str]:
    actual = actual_text(leaf, currency=scene.currency)
    if isinstance(actual, bool):
        return _yes_no(actual)
    if leaf.kind == "tier":
        return _tier_name(leaf.key, actual, scene, language)
    found: str | list[str] = actual
    return found


def _tier_name(program: str, tier: str, scene: Scene, language: str) -> str:
    label = scene.tiers.get(program, {}).get(tier)
    return tier if label is None else _label(label, language)


def _yes_no(value: bool) -> str:
    return _("yes") if value else _("no")


def _listed(value: str | list[str]) -> str:
    return value if isinstance(value, str) else _(", ").join(value)
