"""Publishing and retiring: what would change is shown first, and confirmed with a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from config import clock
from membership.services.draft_checks import answers_at_once
from membership.services.drafts import DraftConflict, discard_draft, work_on
from membership.services.preview import (
    Change,
    change_of,
    preview,
    request_preview,
)
from membership.services.publishing import Offer, carry_out, offer_publication, offer_retirement
from membership.services.publishing_basis import StaleChange
from segmentation.admin import shown
from segmentation.admin.looking import looker
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import AccessRecord, Job
from segmentation.permissions import (
    EDIT_DRAFTS,
    REQUEST_RUN,
    publish_permission,
    visible_jobs,
)
from segmentation.services.access_log import record_access
from segmentation.services.jobs import new_key
from segmentation.services.relations import relations

from .context import viewer_of
from .editor import VIEW_DRAFTS, reference
from .previews import customer_links, external_ids, result_context
from .problems import words_of
from .words import change_cells, definition_url, kind_words, movement_rows, names_of


def publish(request: HttpRequest, kind: str, key: str, *, site: AdminSite) -> HttpResponse:
    """What publishing the draft would change, and with a reason, publishing it."""
    return _act(request, reference(kind, key), "publish", site=site)


def retire(request: HttpRequest, kind: str, key: str, *, site: AdminSite) -> HttpResponse:
    """What still depends on a definition, and with a reason, its end."""
    return _act(request, reference(kind, key), "retire", site=site)


def _act(request: HttpRequest, subject: Ref, act: str, *, site: AdminSite) -> HttpResponse:
    user = viewer_of(request)
    may_look = user.has_perm(EDIT_DRAFTS) or user.has_perm(VIEW_DRAFTS)
    if not user.has_perm(publish_permission(subject.kind)) and not (
        act == "publish" and may_look and request.method != "POST"
    ):
        raise PermissionDenied
    if request.method == "POST":
        return _carried_out(request, subject, act, site=site)
    return _page(request, subject, act, site=site)


def _offer(request: HttpRequest, subject: Ref, act: str) -> Offer:
    draw = offer_publication if act == "publish" else offer_retirement
    try:
        return draw(subject, viewer=viewer_of(request), now=clock.real_now())
    except NotFoundError:
        raise Http404 from None


def _carried_out(request: HttpRequest, subject: Ref, act: str, *, site: AdminSite) -> HttpResponse:
    reason = str(request.POST.get("reason", ""))
    key = str(request.POST.get("key", "")) or new_key()
    try:
        job = carry_out(
            str(request.POST.get("basis", "")), reason=reason, key=key,
            user=viewer_of(request), now=clock.real_now(),
        )  # fmt: skip
    except StaleChange as stale:
        try:
            return _page(request, subject, act, site=site, reason=reason, stale=stale, status=409)
        except Http404:
            for change in stale.changes:
                messages.error(request, change)
            return HttpResponseRedirect(reverse("admin:segmentation_draft_changelist"))
    except TierwiseError as error:
        told = [words_of(problem) for problem in error.problems] or [error.message]
        return _page(
            request, subject, act, site=site, reason=reason, told=told, key=key, status=422
        )
    return HttpResponseRedirect(reverse("admin:builder_done", args=[job.pk]))


def _page(
    request: HttpRequest,
    subject: Ref,
    act: str,
    *,
    site: AdminSite,
    reason: str = "",
    told: list[str] | None = None,
    stale: StaleChange | None = None,
    key: str = "",
    status: int = 200,
) -> HttpResponse:
    offer = _offer(request, subject, act)
    context = {
        **site.each_context(request),
        "title": _("Publish: the change first") if act == "publish" else _("Retire"),
        "subtitle": None,
        "subject": subject,
        "name": names_of([subject], drafted=offer.document)[subject],
        "kind_words": kind_words(subject.kind),
        "edits": [change_cells(edit) for edit in offer.edits],
        "is_unchanged": offer.is_unchanged,
        "act": act,
        "offer": offer,
        "problems": [words_of(problem) for problem in offer.problems],
        "warnings": [words_of(warning) for warning in offer.warnings],
        "lacks": [kind_words(kind) for kind in offer.lacks],
        "companions": [
            f"{kind_words(ref.kind)} · {name}"
            for ref, name in names_of(offer.companions, drafted=offer.document).items()
        ],
        "reason": reason,
        "told": told or [],
        "stale": stale,
        "key": key or new_key(),
        "basis": offer.basis.token() if offer.basis else "",
        "back": _back(subject, act),
    }
    if offer.basis is not None:
        context |= _change(request, offer)
    if act == "retire":
        context["users"] = _users(request, subject)
    if offer.is_hidden:
        record_access(
            AccessRecord.Kind.VIEW_HIDDEN,
            looker=looker(request),
            subject=str(subject),
            now=clock.real_now(),
            is_hidden=True,
            details={"page": act},
        )
    return TemplateResponse(request, "admin/builder/publish.html", context, status=status)


def _users(request: HttpRequest, subject: Ref) -> list[tuple[str, str, str]]:
    """What names a definition directly, as far as this person may know: kind, name, page."""
    found = relations(subject, viewer=viewer_of(request)).used_by
    return [
        (kind_words(one.ref.kind), shown.label_in(one.label), definition_url(one.ref))
        for one in found
        if one.is_direct
    ]


def _back(subject: Ref, act: str) -> str:
    if act == "publish":
        return reverse("admin:builder_draft", args=[subject.kind, subject.key])
    return definition_url(subject)


def _change(request: HttpRequest, offer: Offer) -> dict[str, Any]:
    """The change in full; where new metrics must be computed first, the job that does it."""
    user, now = viewer_of(request), clock.real_now()
    document, subject = offer.document, str(offer.subject)
    if offer.is_unchanged or offer.basis is None or offer.draft is None:
        return {}
    try:
        is_run = offer.act == "publish" and offer.basis.run is not None
        if is_run and not answers_at_once(offer.draft, offer.subject):
            key = f"shown:{user.pk}:{offer.basis.run}:{offer.basis.digest}"
            job = request_preview(
                document, subject=subject, user=user, actor=user.get_username(), now=now, key=key
            )
            return _from_job(request, job)
        found = _shown(change_of(document, viewer=user, now=now), document)
        if is_run and offer.subject.kind == "segment":
            made = preview(document, subject=subject, viewer=user, now=now)
            found["entering"] = customer_links(request, external_ids(made.entered))
            found["leaving"] = customer_links(request, external_ids(made.left))
        return found
    except TierwiseError as error:
        return {"change_error": error.message}


def _from_job(request: HttpRequest, job: Job) -> dict[str, Any]:
    """What a job computed of the change; until then nobody can confirm what was not shown."""
    if job.status == Job.Status.DONE:
        return result_context(request, job.result) | {"is_from_job": True}
    if job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
        address = reverse("admin:builder_preview_job", args=[job.pk])
        return {"job": job, "job_url": f"{address}?then=reload", "is_waiting": True}
    return {"change_error": (job.error or {}).get("message") or _("The preview was cancelled.")}


def _shown(change: Change, document: Mapping[str, Any]) -> dict[str, Any]:
    acts = {"created": _("is new"), "changed": _("is changed"), "retired": _("ends")}
    names = names_of((one.ref for one in change.changes), drafted=document)
    return {
        "as_of": shown.instant(change.run.as_of) if change.run else "",
        "run": change.run,
        "changes": [
            (
                f"{kind_words(one.ref.kind)} · {names[one.ref]}",
                acts[one.act],
                movement_rows(one.movements, drafted=document),
            )
            for one in change.changes
        ],
        "dependents": movement_rows([one for one in change.dependents if one.moves]),
        "still": movement_rows([one for one in change.dependents if not one.moves]),
    }


def done(request: HttpRequest, job_id: int, *, site: AdminSite) -> HttpResponse:
    """What was published, with the way on: its history, and a run."""
    user = viewer_of(request)
    job = visible_jobs(user).filter(pk=job_id, kind="publish", requested_by=user.pk).first()
    if job is None:
        raise Http404
    names = [*job.result.get("created", ()), *job.result.get("changed", ())]
    refs = [Ref(*name.split(":", 1)) for name in names]
    versions = reverse("admin:segmentation_definitionversion_changelist")
    context = {
        **site.each_context(request),
        "title": _("Published") if job.parameters.get("act") != "retire" else _("Retired"),
        "subtitle": job.subject,
        "names": [f"{kind_words(ref.kind)} · {name}" for ref, name in names_of(refs).items()],
        "is_retired": job.parameters.get("act") == "retire",
        "reason": job.parameters.get("reason", ""),
        "recompute_url": reverse("admin:segmentation_run_recompute")
        if user.has_perm(REQUEST_RUN)
        else "",
        "history_url": versions if user.has_perm("segmentation.view_definitionversion") else "",
        "drafts_url": reverse("admin:segmentation_draft_changelist"),
    }
    return TemplateResponse(request, "admin/builder/done.html", context)


def discard(request: HttpRequest, kind: str, key: str) -> HttpResponse:
    """Throw the draft away, in the state in which it was looked at."""
    user = viewer_of(request)
    if request.method != "POST":
        raise Http404
    if not user.has_perm(EDIT_DRAFTS):
        raise PermissionDenied
    try:
        work = work_on(reference(kind, key), viewer=user)
    except NotFoundError:
        raise Http404 from None
    stamp = str(request.POST.get("stamp", ""))
    try:
        if stamp != work.stamp:
            raise DraftConflict(
                _("Somebody saved this draft since you opened it, so it was not discarded."),
                current=work,
                edits=(),
            )
        discard_draft(work, actor=user.get_username())
    except DraftConflict as conflict:
        messages.error(request, conflict.message)
        return HttpResponseRedirect(reverse("admin:builder_draft", args=[kind, key]))
    messages.success(request, _("Discarded. What is published stays as it is."))
    return HttpResponseRedirect(reverse("admin:segmentation_draft_changelist"))
