"""Published terms of programs: what a tier asks for, in a sentence and as data.

A program's rule uses no segment and nothing derived from a hidden one, so its terms can be shown
to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from django.utils.translation import get_language
from django.utils.translation import gettext as _

from membership.domain.programs import Program, ProgramVersion, Term
from membership.services.tier_changes import version_at
from segmentation.domain.definitions import Catalog, FactMetric, Label
from segmentation.domain.rules import (
    All,
    AttrLeaf,
    BucketLeaf,
    LayerLeaf,
    MetricLeaf,
    Node,
    Not,
    TagLeaf,
    TierLeaf,
)
from segmentation.domain.rules import Any as AnyOf
from segmentation.services.wording import ATTRIBUTE_LABELS, comparison_words, window_words


@dataclass(frozen=True, slots=True)
class TierTerms:
    """One rank and what it asks for."""

    key: str
    rank: int
    label: Label
    condition: str  # in the active language
    thresholds: tuple[Mapping[str, Any], ...] | None


@dataclass(frozen=True, slots=True)
class VersionTerms:
    """One version: tiers, lowest first, and how long they are kept. Terms None: for good."""

    number: int
    effective_from: date
    period: str
    upgrade: str
    keep_for: Term | None
    grace: Term
    downgrade: str
    tiers: tuple[TierTerms, ...]


@dataclass(frozen=True, slots=True)
class ProgramTerms:
    """A program with the version in force (None: none yet) and those announced for later."""

    key: str
    label: Label
    timezone: str
    current: VersionTerms | None
    announced: tuple[VersionTerms, ...]


def program_terms(program: Program, *, catalog: Catalog, now: datetime) -> ProgramTerms:
    """The terms as of `now`, the project's time, in the active language."""
    current = version_at(program, now)
    number = 0 if current is None else current.number
    return ProgramTerms(
        key=program.key,
        label=program.label,
        timezone=program.timezone,
        current=None if current is None else _version(current, catalog),
        announced=tuple(
            _version(version, catalog) for version in program.versions if version.number > number
        ),
    )


def _version(version: ProgramVersion, catalog: Catalog) -> VersionTerms:
    return VersionTerms(
        number=version.number,
        effective_from=version.effective_from,
        period=version.period,
        upgrade=version.upgrade,
        keep_for=version.keep_for,
        grace=version.grace,
        downgrade=version.downgrade,
        tiers=tuple(
            TierTerms(
                key=tier.key,
                rank=tier.rank,
                label=tier.label,
                condition=_sentence(tier.rule, catalog),
                thresholds=_thresholds(tier.rule, catalog),
            )
            for tier in version.tiers
        ),
    )


def _thresholds(rule: Node, catalog: Catalog) -> tuple[Mapping[str, Any], ...] | None:
    """The metrics to reach, when the rule is nothing but "at least" and "more than" on metrics."""
    leaves: Sequence[Node] = rule.children if isinstance(rule, All) else (rule,)
    found = []
    for leaf in leaves:
        if not isinstance(leaf, MetricLeaf) or leaf.cmp not in ("gte", "gt"):
            return None
        metric = catalog.metrics[leaf.metric]
        found.append(
            {
                "metric": leaf.metric,
                "label": _text(metric.label),
                "unit": metric.unit,
                "cmp": leaf.cmp,
                "value": f"{leaf.value:f}" if not isinstance(leaf.value, str) else leaf.value,
            }
        )
    return tuple(found)


def _sentence(rule: Node, catalog: Catalog) -> str:
    """A rule in words. Inner groups are in brackets, so that "and" and "or" can't be mistaken."""
    match rule:
        case All(children) if children:
            return _joined(children, _(" and "), catalog)
        case AnyOf(children) if children:
            return _joined(children, _(" or "), catalog)
        case All():
            return _("the rule asks for nothing")
        case AnyOf():
            return _("the rule matches nobody")
        case Not(child):
            return _("not (%(condition)s)") % {"condition": _sentence(child, catalog)}
        case _:
            return _leaf(rule, catalog)


def _joined(children: Sequence[Node], word: str, catalog: Catalog) -> str:
    if len(children) == 1:
        return _sentence(children[0], catalog)
    parts = []
    for child in children:
        text = _sentence(child, catalog)
        is_group = isinstance(child, All | AnyOf) and len(child.children) > 1
        parts.append(_("(%(condition)s)") % {"condition": text} if is_group else text)
    return word.join(parts)


def _leaf(leaf: Node, catalog: Catalog) -> str:
    if isinstance(leaf, BucketLeaf):
        name: str = _("Random number under %(salt)s") % {"salt": leaf.salt}
        comparison = _("at least %(low)s and below %(high)s") % {
            "low": leaf.start,
            "high": leaf.end,
        }
    elif isinstance(leaf, MetricLeaf | TagLeaf | AttrLeaf | LayerLeaf):
        name, comparison = _subject(leaf, catalog), comparison_words(leaf.cmp, _values(leaf.value))
    elif isinstance(leaf, TierLeaf):
        name = _("Tier held before in %(program)s") % {"program": leaf.program}
        comparison = comparison_words(leaf.cmp, leaf.tier)
    else:  # a program's rule names no segment, list or score
        raise LookupError(f"a program's rule has a {type(leaf).__name__}")
    words = _("%(subject)s: %(comparison)s") % {"subject": name, "comparison": comparison}
    if getattr(leaf, "if_missing", False):
        words = _("%(condition)s, or is not known") % {"condition": words}
    return words


def _subject(leaf: MetricLeaf | TagLeaf | AttrLeaf | LayerLeaf, catalog: Catalog) -> str:
    match leaf:
        case TagLeaf():
            return _text(catalog.tag_groups[leaf.group].label)
        case LayerLeaf():
            return _text(catalog.layerings[leaf.layering].label)
        case AttrLeaf():
            return str(ATTRIBUTE_LABELS[leaf.attr])
    metric = catalog.metrics[leaf.metric]
    name = _text(metric.label)
    if not isinstance(metric, FactMetric):
        return name
    return _("%(name)s (%(window)s)") % {"name": name, "window": window_words(metric.window)}


def _values(value: Any) -> str | list[str] | None:
    if value is None:
        return None
    if isinstance(value, tuple):
        return [_one(each) for each in value]
    return _one(value)


def _one(value: Any) -> str:
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    return str(value)


def _text(label: Label) -> str:
    return label.zh_hans if (get_language() or "").startswith("zh") else label.en
