"""Publishing drafts and retiring definitions: only what was shown, and only once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pghistory
from django.contrib.auth.models import User
from django.db import transaction
from django.utils import translation
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from membership.domain.field_changes import FieldChange, field_changes
from membership.domain.reading import ProgramDraft
from membership.domain.writing import write_version
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.domain.writing import write_label
from segmentation.models import Draft, Job
from segmentation.permissions import (
    OVERRIDE_FREEZE,
    Viewer,
    may_see_hidden,
    publish_permission,
    visible_drafts,
)
from segmentation.services.cards import claim
from segmentation.services.definitions import lock_definitions, write_definition
from segmentation.services.job_kinds import Result, job_kind
from segmentation.services.jobs import JobWork
from segmentation.services.promotion_calendar import refuse_frozen

from .applying import Applied, apply_document
from .draft_checks import judged
from .draft_definitions import DraftDefinitions
from .draft_documents import Bundle, bundle, definition_of, retirement
from .drafts import work_on
from .publishing_basis import (
    Basis,
    StaleChange,
    basis_of,
    content_of,
    read_token,
    what_changed,
)

JOB = "publish"


@job_kind(JOB, title=gettext_lazy("Publish"))
def _done_already(work: JobWork) -> Result:
    """Publishing happens in the request that asks for it; its job is the record of it."""
    result: Result = work.job.result
    return result


@dataclass(frozen=True, slots=True)
class Offer:
    """What publishing or retiring would apply, and what that rests on.

    With problems it can't be done and has no basis. `lacks` are the kinds that the person has no
    right to publish. `edits` are the fields of the published definition that would differ;
    `is_unchanged`: all of it is published already. `draft`: the definitions with it in force.
    """

    subject: Ref
    act: str
    document: Mapping[str, Any]
    companions: tuple[Ref, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    lacks: tuple[str, ...]
    is_hidden: bool
    edits: tuple[FieldChange, ...]
    is_unchanged: bool
    draft: DraftDefinitions | None
    basis: Basis | None

    @property
    def is_possible(self) -> bool:
        return self.basis is not None and not self.lacks


def offer_publication(subject: Ref, *, viewer: Viewer, now: datetime) -> Offer:
    """Publishing the saved draft of `subject` with the drafts it needs.

    Raises NotFoundError when there is no such draft or the viewer may not know of it.
    """
    draft = visible_drafts(viewer).filter(kind=subject.kind, key=subject.key).first()
    if draft is None:
        raise NotFoundError(_("There is no such draft."))
    work = work_on(subject, viewer=viewer)
    found = bundle(subject, work.document, viewer=viewer, stamp=work.stamp)
    return _offer(found, act="publish", is_hidden=work.is_hidden, viewer=viewer, now=now)


def offer_retirement(subject: Ref, *, viewer: Viewer, now: datetime) -> Offer:
    """Retiring a definition; refused while something depends on it (case S05).

    Raises NotFoundError when there is no such definition or the viewer may not know of it.
    """
    known = definition_of(subject, viewer=viewer)
    if known is None or known.is_retired:
        raise NotFoundError(_("There is no such definition."))
    found = Bundle(subject, retirement(subject), (), {})
    return _offer(found, act="retire", is_hidden=known.is_hidden, viewer=viewer, now=now)


def _offer(found: Bundle, *, act: str, is_hidden: bool, viewer: Viewer, now: datetime) -> Offer:
    verdict = judged(found.document, viewer=viewer)
    problems = verdict.problems
    if act == "publish":
        problems += _misplaced(found)
    kinds = dict.fromkeys(ref.kind for ref in found.refs)
    basis = None
    if not problems and verdict.draft is not None:
        basis = basis_of(found, act=act, draft=verdict.draft, viewer=viewer, now=now)
    return Offer(
        subject=found.subject,
        act=act,
        document=found.document,
        companions=found.companions,
        problems=problems,
        warnings=verdict.warnings,
        lacks=tuple(kind for kind in kinds if not viewer.has_perm(publish_permission(kind))),
        is_hidden=is_hidden,
        edits=_edits(found, act=act, draft=verdict.draft, viewer=viewer),
        is_unchanged=verdict.draft is not None and not verdict.draft.touched,
        draft=verdict.draft,
        basis=basis,
    )


def _edits(
    found: Bundle, *, act: str, draft: DraftDefinitions | None, viewer: Viewer
) -> tuple[FieldChange, ...]:
    """How the definition differs from the published one, both written in the same way."""
    known = definition_of(found.subject, viewer=viewer)
    if act != "publish" or draft is None or known is None or known.is_retired:
        return ()
    entry = draft.checked.patch.get(found.subject)
    if entry is None or entry.definition is None:
        return ()
    if isinstance(entry.definition, ProgramDraft):
        program = entry.definition
        version = {k: v for k, v in write_version(program.version).items() if v is not None}
        after = {
            "key": program.key,
            "label": write_label(program.label),
            "timezone": program.timezone,
            "version": version,
        }
    else:
        after = write_definition(entry.definition)
    return field_changes(known.document, after)


def _misplaced(found: Bundle) -> tuple[Problem, ...]:
    """A draft that edits one definition but names another would leave the first as it is."""
    if found.owner(found.path) == found.subject:
        return ()
    message = _("The key must stay “%(key)s”; to make another definition, clone this one.")
    name = "group" if found.subject.kind == "tag" else "key"
    problem = Problem(f"{found.path}/{name}", "key_fixed", message % {"key": found.subject.key})
    return (problem,)


def carry_out(
    token: str,
    *,
    reason: str,
    key: str,
    user: User,
    now: datetime,
    project_now: datetime | None = None,
    override_freeze: str = "",
) -> Job:
    """Publish or retire exactly what the token's form showed; the record of it.

    The same `key` again (a double click) gives the record of the first time and does nothing.
    All or nothing, under the definitions lock. `now`: the real clock; `project_now`: the project's,
    by which publishing may be frozen (None: as `now`); `override_freeze` says why it can't wait.
    Errors: `reason_required`, `forbidden`, `frozen`, `not_found`, StaleChange when a draft, a
    definition around it or the newest run is not what the form showed, and everything that
    applying refuses.
    """
    if not reason.strip():
        message = _("A reason is required.")
        problems = (Problem("/reason", "reason_required", message),)
        raise TierwiseError(message, code="reason_required", problems=problems)
    shown = read_token(token)
    with transaction.atomic():
        lock_definitions(exclusive=True)
        done = Job.objects.filter(idempotency_key=key, kind=JOB, requested_by=user).first()
        if done is not None:
            return done
        offer = _offer_again(shown, user=user, now=now)
        if offer.basis is None:
            raise TierwiseError(
                _("The definitions have problems; nothing was published."),
                problems=offer.problems,
            )
        _refuse_lacking(offer)
        reason = refuse_frozen(
            project_now or now,
            reason=reason,
            override=override_freeze,
            may_override=user.has_perm(OVERRIDE_FREEZE),
        )
        applied = _apply(offer, actor=user.get_username(), reason=reason, user=user, now=now)
        _end_drafts(offer.basis, reason=reason, actor=user.get_username())
        for ref in (offer.subject, *offer.companions):
            claim(ref.kind, ref.key, owner=user)
        return _record(offer, applied, reason=reason, key=key, user=user, now=now)


def _offer_again(shown: Basis, *, user: User, now: datetime) -> Offer:
    kind, _colon, name = shown.subject.partition(":")
    subject = Ref(kind, name)
    draw = offer_retirement if shown.act == "retire" else offer_publication
    try:
        offer = draw(subject, viewer=user, now=now)
    except NotFoundError:
        raise StaleChange(what_changed(shown, None, user=user)) from None
    if offer.basis is None or content_of(offer.basis) != content_of(shown):
        raise StaleChange(what_changed(shown, offer.basis, user=user))
    return offer


def _refuse_lacking(offer: Offer) -> None:
    if offer.lacks:
        message = _("Your role may not publish this.")
        raise TierwiseError(
            message, code="forbidden", problems=(Problem("", "forbidden", message),)
        )


def _apply(offer: Offer, *, actor: str, reason: str, user: User, now: datetime) -> Applied:
    try:
        return apply_document(offer.document, actor=actor, reason=reason.strip(), now=now)
    except TierwiseError as error:
        if may_see_hidden(user):
            raise
        # It passed with everything this person may know of, so the rest must stay unsaid.
        message = _("Something that your role does not show depends on this; ask for help.")
        problem = Problem("", "not_possible", message)
        raise TierwiseError(message, code="not_possible", problems=(problem,)) from error


def _end_drafts(basis: Basis, *, reason: str, actor: str) -> None:
    with pghistory.context(actor=actor, reason=reason.strip()):
        for stamp in basis.stamps.values():
            identity, _dot, revision = stamp.partition(".")
            gone, _models = Draft.objects.filter(pk=identity, revision=revision).delete()
            if not gone:
                raise StaleChange((_("A draft was saved meanwhile."),))


def _record(
    offer: Offer, applied: Applied, *, reason: str, key: str, user: User, now: datetime
) -> Job:
    """A job that is done: with its key nothing happens twice, and the Jobs page shows it."""
    digest = offer.basis.digest if offer.basis else ""
    return Job.objects.create(
        kind=JOB,
        subject=str(offer.subject),
        parameters={"act": offer.act, "reason": reason.strip(), "digest": digest},
        requested_by=user,
        actor=user.get_username(),
        language=translation.get_language() or "en",
        is_hidden=offer.is_hidden,
        idempotency_key=key,
        status=Job.Status.DONE,
        requested_at=now,
        started_at=now,
        finished_at=now,
        attempts=1,
        result=applied.as_document(),
    )
