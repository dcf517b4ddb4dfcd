"""Who may see what: the one place that scopes hidden segments.

A hidden segment is invisible without `segmentation.view_hidden_segment`: its name, key, rule,
size, members, history and mere existence. Every screen, list, filter and search that could show
one starts from a function of this module; the leak test walks all of them.
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from django.apps import apps
from django.db.models import Model, Q, QuerySet

from .models import (
    DefinitionSet,
    DefinitionVersion,
    ManualMember,
    Segment,
    SegmentResult,
)

VIEW_HIDDEN = "segmentation.view_hidden_segment"
REQUEST_RUN = "segmentation.request_run"

_Row = TypeVar("_Row", bound=Model)


class Viewer(Protocol):
    """Whoever looks: a staff user, or the anonymous one."""

    def has_perm(self, perm: str, /) -> bool: ...


def may_see_hidden(user: Viewer) -> bool:
    """Whether hidden segments exist at all for this user."""
    return user.has_perm(VIEW_HIDDEN)


def visible_segments(user: Viewer) -> QuerySet[Segment]:
    """The segments this user may know of."""
    segments = Segment.objects.all()
    return segments if may_see_hidden(user) else segments.filter(is_hidden=False)


def visible_results(user: Viewer) -> QuerySet[SegmentResult]:
    """What runs published about the segments this user may know of."""
    results = SegmentResult.objects.all()
    return results if may_see_hidden(user) else results.filter(segment__is_hidden=False)


def visible_manual_members(user: Viewer) -> QuerySet[ManualMember]:
    """Manual includes and excludes of the segments this user may know of."""
    rows = ManualMember.objects.all()
    return rows if may_see_hidden(user) else rows.filter(segment__is_hidden=False)


def visible_versions(user: Viewer) -> QuerySet[DefinitionVersion]:
    """Definition versions; of segments only those that were, and whose segment is, internal."""
    versions = DefinitionVersion.objects.all()
    if may_see_hidden(user):
        return versions
    internal = Q(
        kind="segment",
        document__visibility="internal",
        key__in=visible_segments(user).values("key"),
    )
    return versions.filter(~Q(kind="segment") | internal)


def visible_definition_sets(user: Viewer) -> QuerySet[DefinitionSet]:
    """Definition sets hold every rule of a run, so they need the right to see hidden ones."""
    sets = DefinitionSet.objects.all()
    return sets if may_see_hidden(user) else sets.none()


def visible_history(events: QuerySet[_Row], *, user: Viewer) -> QuerySet[_Row]:
    """Rows of an event table, without those about a segment that is or was hidden."""
    if may_see_hidden(user):
        return events
    names = {field.name for field in events.model._meta.get_fields()}
    if "is_hidden" in names:
        return events.filter(is_hidden=False, pgh_obj_id__in=visible_segments(user).values("pk"))
    if "segment" in names:
        return events.filter(segment_id__in=visible_segments(user).values("pk"))
    return events


def restricted_models() -> tuple[type[Model], ...]:
    """Models whose rows can name a hidden segment; clicks on them are restricted as well."""
    return (
        Segment,
        SegmentResult,
        ManualMember,
        DefinitionVersion,
        DefinitionSet,
        apps.get_model("segmentation", "SegmentEvent"),
        apps.get_model("segmentation", "ManualMemberEvent"),
    )


def hidden_words(user: Viewer) -> frozenset[str]:
    """Keys and names that must not appear in free text (logs, errors) shown to this user."""
    if may_see_hidden(user):
        return frozenset()
    rows = Segment.objects.filter(is_hidden=True).values_list("key", "label_en", "label_zh_hans")
    return frozenset(word for row in rows for word in row if word)


def mentions_hidden(text: str, *, words: frozenset[str]) -> bool:
    """Whether a text names a hidden segment; case does not matter."""
    folded = text.casefold()
    return any(word.casefold() in folded for word in words)
