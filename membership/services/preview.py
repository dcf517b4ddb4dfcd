"""What a draft would do before it is published: sizes, who enters and leaves, who has no value.

Preview *is* the run on a draft (case S09): see `draft_runs`. Nothing is written, so previews can
be asked for as often as a person types.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from pyroaring import BitMap

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.engine.drafts import count_where, members_where
from segmentation.models import Customer, Job, Run, living
from segmentation.permissions import Sight, Viewer, may_see_hidden, sight
from segmentation.queries import newest_published_run, segment_members
from segmentation.services.job_kinds import job_kind
from segmentation.services.jobs import JobWork, request_job

from .draft_definitions import DraftDefinitions, change_digest, draft_definitions, reach
from .draft_movements import movements, set_conditions
from .draft_runs import computed_draft, is_quick
from .missing_values import places
from .preview_results import Act, Change, Changed, Movement, Preview, Unknown, preview_document

__all__ = [
    "Change",
    "Changed",
    "Movement",
    "Preview",
    "Unknown",
    "change_of",
    "preview",
    "preview_document",
    "preview_is_quick",
    "request_preview",
]

KIND = "preview"
SAMPLE = 20
SUBJECTS = ("tag", "metric", "layering", "segment", "program")


def preview(document: Mapping[str, Any], *, subject: str, viewer: Viewer, now: datetime) -> Preview:
    """The result that a run at the newest published as-of would publish for `subject` (`kind:key`)
    if `document` were applied, within what `viewer` may see.

    Over published metrics it takes less than a second at a million customers; a new metric is
    computed from the facts (`preview_is_quick` tells). `now` is the real clock's. Raises
    TierwiseError with every problem of the document, `no_run` before anything is published,
    `files_missing`; NotFoundError for a subject that does not exist or that `viewer` may not see.
    """
    ref = _read_subject(subject)
    draft = draft_definitions(document, viewer=viewer)
    run = _newest_run()
    _check_subject(draft, ref, viewer)
    reached = reach(draft, [ref], as_of=run.as_of)
    asked = list(places(draft, ref, document=document, running=reached.programs))
    probes = {f"p:{number}": place.missing for number, place in enumerate(asked)}
    dependents = [one for one in reached.dependents if _may_see(draft, one, viewer)]
    seen = sight(viewer)
    refs = [ref, *dependents]
    with computed_draft(draft, reached, run=run, refs=refs, probes=probes, now=now) as found:
        moved = movements(found, refs, sight=seen)
        everybody = members_where(found.duck, set_conditions(found, ref))
        missing = count_where(found.duck, list(probes))
    members, entered, left = _seen(everybody, ref, run=run, draft=draft, sight=seen)
    return Preview(
        subject=ref,
        run=run,
        is_hidden=draft.is_hidden(ref),
        movements=tuple(one for one in moved if one.ref == ref),
        members=members,
        entered=entered,
        left=left,
        sample=_sample(members),
        unknown=tuple(
            Unknown(place.path, place.name, count, place.can_include)
            for place, count in zip(asked, missing, strict=True)
        ),
        dependents=tuple(one for one in moved if one.ref != ref),
        warnings=draft.checked.warnings,
    )


def _seen(
    everybody: BitMap, ref: Ref, *, run: Run, draft: DraftDefinitions, sight: Sight
) -> tuple[BitMap, BitMap, BitMap]:
    """Members, entered and left, as `sight` may see them; only a segment was something before."""
    members = sight.members(everybody, is_hidden=draft.will_be_hidden(ref))
    if ref.kind != "segment":
        return members, BitMap(), BitMap()
    before = sight.members(_published(run, ref.key), is_hidden=draft.was_hidden(ref))
    return members, members - before, before - members


def preview_is_quick(document: Mapping[str, Any], *, subject: str, viewer: Viewer) -> bool:
    """Whether `preview` answers at once; else ask with `request_preview`. Raises like `preview`."""
    ref = _read_subject(subject)
    draft = draft_definitions(document, viewer=viewer)
    run = _newest_run()
    _check_subject(draft, ref, viewer)
    return is_quick(draft, reach(draft, [ref], as_of=run.as_of), run=run)


def request_preview(
    document: Mapping[str, Any],
    *,
    subject: str,
    user: User,
    actor: str,
    now: datetime,
    key: str | None = None,
) -> Job:
    """Queue a preview; the job's result is `preview_document`. Raises like `preview`, at once."""
    ref = _read_subject(subject)
    draft = draft_definitions(document, viewer=user)
    _check_subject(draft, ref, user)
    return request_job(
        KIND,
        parameters={"document": dict(document), "subject": subject},
        user=user,
        actor=actor,
        now=now,
        subject=subject,
        is_hidden=draft.is_hidden(ref) or may_see_hidden(user),
        key=key,
    )


@job_kind(KIND, title=gettext_lazy("Preview"))
def preview_in_background(work: JobWork) -> dict[str, Any]:
    """The preview, with the rights of now of the person who asked."""
    user = work.user
    if user is None:
        raise TierwiseError(_("Only a person asks for a preview."), code="forbidden")
    asked = work.parameters
    found = preview(asked["document"], subject=asked["subject"], viewer=user, now=work.clock())
    return preview_document(found)


def change_of(
    document: Mapping[str, Any], *, viewer: Viewer, now: datetime, named: str = ""
) -> Change:
    """Everything that `document` would change, as it would be published: for each definition who
    enters and leaves, and the same for whatever depends on one; of the segment `named` also the
    customers. Raises like `preview`, but needs no published run. Publishing compares `digest`, so
    that nobody publishes what was not shown."""
    draft = draft_definitions(document, viewer=viewer)
    run = newest_published_run()
    moved: dict[Ref, list[Movement]] = {}
    dependents: list[Ref] = []
    entered = left = BitMap()
    if run is not None and draft.touched:
        reached = reach(draft, draft.touched, as_of=run.as_of)
        dependents = [one for one in reached.dependents if _may_see(draft, one, viewer)]
        refs = [*draft.touched, *dependents]
        seen = sight(viewer)
        with computed_draft(draft, reached, run=run, refs=refs, probes={}, now=now) as found:
            for movement in movements(found, refs, sight=seen):
                moved.setdefault(movement.ref, []).append(movement)
            if named and (ref := _read_subject(named)) in draft.touched:
                everybody = members_where(found.duck, set_conditions(found, ref))
                _members, entered, left = _seen(everybody, ref, run=run, draft=draft, sight=seen)
    return Change(
        changes=tuple(
            Changed(ref, _act(draft, ref), draft.versions[ref], tuple(moved.get(ref, ())))
            for ref in draft.touched
        ),
        dependents=tuple(movement for ref in dependents for movement in moved.get(ref, ())),
        unchanged=draft.checked.unchanged,
        warnings=draft.checked.warnings,
        run=run,
        entered=entered,
        left=left,
        digest=change_digest(document, draft=draft, run=run),
    )


def _act(draft: DraftDefinitions, ref: Ref) -> Act:
    if draft.checked.patch[ref].is_retired:
        return "retired"
    return "created" if ref in draft.checked.created else "changed"


def _read_subject(subject: str) -> Ref:
    kind, _colon, key = subject.partition(":")
    if kind not in SUBJECTS or not key:
        raise TierwiseError(_("%(subject)s is no definition.") % {"subject": subject})
    return Ref(kind, key)


def _newest_run() -> Run:
    run = newest_published_run()
    if run is None:
        message = _("Nothing is computed yet: start a run first.")
        raise TierwiseError(message, code="no_run")
    return run


def _check_subject(draft: DraftDefinitions, ref: Ref, viewer: Viewer) -> None:
    known: Mapping[str, Mapping[str, Any]] = {
        "tag": draft.catalog.tag_groups,
        "metric": draft.catalog.metrics,
        "layering": draft.catalog.layerings,
        "segment": draft.catalog.segments,
        "program": {program.key: program for program in draft.programs},
    }
    if ref.key not in known[ref.kind] or not _may_see(draft, ref, viewer):
        raise NotFoundError(_("There is no %(subject)s.") % {"subject": str(ref)})


def _may_see(draft: DraftDefinitions, ref: Ref, viewer: Viewer) -> bool:
    return not draft.is_hidden(ref) or may_see_hidden(viewer)


def _published(run: Run, key: str) -> BitMap:
    try:
        return segment_members(run, key)
    except NotFoundError:  # a new one
        return BitMap()


def _sample(members: BitMap) -> tuple[str, ...]:
    """External ids from all over the bitmap, so that old and new customers are in it."""
    size = len(members)
    picked = [members[size * at // SAMPLE] for at in range(SAMPLE)] if size > SAMPLE else members
    people = Customer.objects.filter(living(), ordinal__in=list(picked))
    return tuple(people.order_by("ordinal").values_list("external_id", flat=True))
