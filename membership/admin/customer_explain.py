"""Why a customer is in a segment or has a tier: choosing the subject, and the answer as a tree."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import Http404, HttpRequest
from django.utils.translation import get_language
from django.utils.translation import gettext as _

from config import clock
from membership.models import Membership, Program, Tier
from membership.services.explain import explain
from segmentation.admin import shown
from segmentation.admin.looking import looker
from segmentation.admin.wording import Names, names
from segmentation.domain.errors import NotFoundError
from segmentation.domain.windows import Interval
from segmentation.models import AccessRecord, Customer, Run, Segment
from segmentation.permissions import may_see_hidden, visible_lists, visible_segments
from segmentation.queries import newest_published_run
from segmentation.services.access_log import record_access
from segmentation.services.run_catalogs import run_catalog
from segmentation.services.wording import comparison_words, interval_words, moment_words

from . import wording

_MOST_SUBJECTS = 12


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that can be explained."""

    name: str  # segment:KEY or tier:PROGRAM
    label: str
    icon: str
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Branch:
    """One node or leaf in words, `depth` steps in; `actual` "" for a node."""

    depth: int
    verdict: bool
    words: str
    actual: str = ""
    is_missing: bool = False
    interval: str = ""
    facts: int | None = None
    gap: str = ""
    exact: str = ""


def may_explain(user: Any) -> bool:
    return _sees_segments(user) or _sees_programs(user)


def _sees_segments(user: Any) -> bool:
    return bool(user.has_perm("segmentation.view_segment"))


def _sees_programs(user: Any) -> bool:
    return bool(user.has_perm("membership.view_membership"))


def subjects_part(customer: Customer, *, user: Any, term: str) -> dict[str, Any]:
    """Segments and programs this person may see whose name or key contains the term."""
    if not may_explain(user):
        raise PermissionDenied
    term = term[:100]
    like = Q(key__icontains=term) | Q(label_en__icontains=term) | Q(label_zh_hans__icontains=term)
    found: list[Subject] = []
    if _sees_programs(user):
        programs = Program.objects.filter(like, retired_at=None).defer("document").order_by("key")
        found += [
            Subject(f"tier:{row.key}", shown.label(row), "workspace_premium")
            for row in programs[:_MOST_SUBJECTS]
        ]
    if _sees_segments(user):
        segments = visible_segments(user).filter(like, retired_at=None).defer("document")
        found += [
            Subject(f"segment:{row.key}", shown.label(row), "filter_alt", row.is_hidden)
            for row in segments.order_by(shown.label_field(), "key")[:_MOST_SUBJECTS]
        ]
    return {"customer": customer, "subjects": found[:_MOST_SUBJECTS], "term": term}


def explain_part(customer: Customer, *, request: HttpRequest, subject: str) -> dict[str, Any]:
    """The verdict with its tree and sentences; 404 for what this person may not know of."""
    user = request.user
    chosen = _chosen(subject, user=user)
    context: dict[str, Any] = {"customer": customer, "subject": chosen}
    run = newest_published_run()
    if run is None:
        return {**context, "refused": _("No run is published yet, so there is nothing to explain.")}
    zone = ZoneInfo(settings.TIME_ZONE)
    if chosen.is_hidden:
        record_access(
            AccessRecord.Kind.VIEW_HIDDEN,
            looker=looker(request),
            subject=subject,
            now=clock.real_now(),
            is_hidden=True,
            rows=1,
            details={"customer": customer.external_id, "page": "explain"},
        )
    unknown = _(
        "The newest run knows no such thing about this customer: one of the two was recorded "
        "after it. The next run will."
    )
    if _was_hidden(chosen, run=run) and not may_see_hidden(user):
        return {**context, "refused": unknown}  # the run's rule may name what is hidden still
    try:
        answer = explain(
            customer.external_id,
            subject=subject,
            run=run,
            zone=zone,
            currency=settings.BASE_CURRENCY,
        )
    except NotFoundError:
        return {**context, "refused": unknown}
    here = "zh-hans" if (get_language() or "").startswith("zh") else "en"
    other = "en" if here == "zh-hans" else "zh-hans"
    tree = _Tree(
        known=names(),
        programs=_labels(Program.objects.defer("document")),
        tiers=_tier_names(),
        lists=_labels(visible_lists(user)),
        zone=zone,
    )
    return {
        **context,
        "verdict": bool(answer["verdict"]),
        "tier": tree.tier(subject.partition(":")[2], answer["verdict"])
        if subject.startswith("tier:") and answer["verdict"]
        else "",
        "is_tier": subject.startswith("tier:"),
        "held": _held(customer, subject),
        "manual": answer.get("manual"),
        "objection": answer.get("objection"),
        "as_of": moment_words(run.as_of, zone=zone),
        "run": run.pk,
        "may_see_run": user.has_perm("segmentation.view_run"),
        "sentences": [(here, answer["sentence"][here]), (other, answer["sentence"][other])],
        "branches": tree.branches(answer["tree"], program=subject.partition(":")[2]),
    }


def _chosen(subject: str, *, user: Any) -> Subject:
    kind, _colon, key = subject.partition(":")
    row: Segment | Program | None = None
    if kind == "segment" and _sees_segments(user):
        row = visible_segments(user).filter(key=key).first()
    elif kind == "tier" and _sees_programs(user):
        row = Program.objects.filter(key=key).first()
    if row is None:
        raise Http404
    is_hidden = isinstance(row, Segment) and row.is_hidden
    icon = "filter_alt" if kind == "segment" else "workspace_premium"
    return Subject(subject, shown.label(row), icon, is_hidden)


def _was_hidden(chosen: Subject, *, run: Run) -> bool:
    """Whether the run computed the subject as a hidden segment, whatever it is now."""
    kind, _colon, key = chosen.name.partition(":")
    segment = run_catalog(run).segments.get(key) if kind == "segment" else None
    return segment is not None and segment.visibility == "hidden"


def _held(customer: Customer, subject: str) -> str:
    """The tier held now, which the last decision gave; what qualifies is what the facts give."""
    kind, _colon, key = subject.partition(":")
    if kind != "tier":
        return ""
    rows = Membership.objects.filter(customer=customer, program__key=key)
    row = rows.annotate(name=wording.tier_label("tier")).values_list("name", "tier").first()
    return "" if row is None else str(row[0] or row[1])


def _tier_names() -> dict[tuple[str, str], str]:
    rows = Tier.objects.order_by("version__number").values_list(
        "version__program__key", "key", shown.label_field()
    )
    return {(program, key): label or key for program, key, label in rows}


def _labels(rows: Iterable[Any]) -> dict[str, str]:
    return {row.key: shown.label(row) for row in rows}


@dataclass(frozen=True, slots=True)
class _Tree:
    """Puts the answer's tree into lines."""

    known: Names
    programs: Mapping[str, str]
    tiers: Mapping[tuple[str, str], str]
    lists: Mapping[str, str]
    zone: ZoneInfo

    def tier(self, program: str, key: str) -> str:
        return self.tiers.get((program, key), key)

    def branches(self, node: Mapping[str, Any], *, program: str, depth: int = 0) -> list[Branch]:
        if "leaf" in node:
            return [self._leaf(node, depth)]
        match node["node"]:
            case "tiers":
                below = node["children"]
                return [
                    line
                    for child in below
                    for line in self.branches(child, program=program, depth=depth)
                ]
            case "tier":
                words = _("Tier %(tier)s") % {"tier": self.tier(program, node["tier"])}
            case "all":
                words = _("All of these:")
            case "any":
                words = _("At least one of these:")
            case _:
                words = _("Not:")
        lines = [Branch(depth, node["verdict"], words)]
        for child in node["children"]:
            lines += self.branches(child, program=program, depth=depth + 1)
        return lines

    def _leaf(self, leaf: Mapping[str, Any], depth: int) -> Branch:
        kind, _colon, key = str(leaf["leaf"]).partition(":")
        if kind in ("segment", "list"):
            words = _("in the segment “%(segment)s”") % {"segment": self.known.of(kind, key)}
            if kind == "list":
                label = self.lists.get(key, _("a restricted list"))
                words = _("on the list “%(list)s”") % {"list": label}
            actual = _("yes") if leaf["verdict"] else _("no")
            return Branch(depth, leaf["verdict"], words, actual)
        interval = ""
        if leaf["interval"]:
            start, end = (text and datetime.fromisoformat(text) for text in leaf["interval"])
            interval = interval_words(Interval(start or None, end), zone=self.zone)
        return Branch(
            depth=depth,
            verdict=leaf["verdict"],
            words=_("%(subject)s: %(comparison)s")
            % {"subject": self._subject(kind, key), "comparison": self._need(kind, key, leaf)},
            actual=_("missing") if leaf["missing"] else self._said(kind, key, leaf["actual"]),
            is_missing=bool(leaf["missing"]),
            interval=interval,
            facts=leaf.get("facts"),
            gap=str(leaf.get("gap") or ""),
            exact=str(leaf.get("exact") or ""),
        )

    def _subject(self, kind: str, key: str) -> str:
        if kind == "bucket":
            return _("Random number under %(salt)s") % {"salt": key}
        if kind == "tier":
            return _("Tier held before in %(program)s") % {"program": self.programs.get(key, key)}
        return self.known.of(kind, key)

    def _need(self, kind: str, key: str, leaf: Mapping[str, Any]) -> str:
        value = leaf["value"]
        if kind == "bucket":
            low, high = value
            return _("at least %(low)s and below %(high)s") % {"low": low, "high": high}
        texts = None if value is None else self._texts(kind, key, value)
        return comparison_words(str(leaf["cmp"]), texts)

    def _texts(self, kind: str, key: str, value: Any) -> str | list[str]:
        if isinstance(value, list):
            return [self._said(kind, key, each) for each in value]
        return self._said(kind, key, value)

    def _said(self, kind: str, key: str, value: Any) -> str:
        if isinstance(value, bool):
            return _("yes") if value else _("no")
        if isinstance(value, list):
            return _(", ").join(self._said(kind, key, each) for each in value)
        return self.tier(key, str(value)) if kind == "tier" else str(value)
