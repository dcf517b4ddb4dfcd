"""Publishing and retiring: what would change is shown first, and confirmed with a reason."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from config import clock
from membership.services.drafts import DraftConflict, discard_draft, work_on
from membership.services.publishing import Offer, carry_out, offer_publication, offer_retirement
from membership.services.publishing_basis import StaleChange
from segmentation.admin import shown
from segmentation.admin.looking import looker
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import AccessRecord
from segmentation.permissions import (
    EDIT_DRAFTS,
    OVERRIDE_FREEZE,
    REQUEST_RUN,
    publish_permission,
    visible_jobs,
)
from segmentation.services.access_log import record_access
from segmentation.services.jobs import new_key
from segmentation.services.promotion_calendar import freeze_at
from segmentation.services.relations import relations
from segmentation.services.wording import listed

from .changes import change_context
from .context import viewer_of
from .editor import VIEW_DRAFTS, reference
from .previews import LOOKED_SECONDS
from .problems import words_of
from .words import change_cells, definition_url, kind_words, names_of

_PART = "part"  # ?part=change: the second half of the page, which the first one asks for
_CHANGE = "change"


def publish(request: HttpRequest, kind: str, key: str, *, site: AdminSite) -> HttpResponse:
    """What publishing the draft would change, and with a reason, publishing it.

    The page comes at once and then asks for the change (`?part=change`), which at a million
    customers takes longer than a page may; nothing can be confirmed before it is shown.
    """
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
    if request.GET.get(_PART) == _CHANGE:
        return _part(request, subject, act)
    return _page(request, subject, act, site=site, is_whole=False)


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
            user=viewer_of(request), now=clock.real_now(), project_now=clock.now(),
            override_freeze=str(request.POST.get("override_freeze", "")),
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
    is_whole: bool = True,
) -> HttpResponse:
    offer = _offer(request, subject, act)
    _note_look(request, offer, is_again=False)
    context = {
        **site.each_context(request),
        "title": _("Publish: the change first") if act == "publish" else _("Retire"),
        "subtitle": None,
        "told": told or [],
        "stale": stale,
        "change_url": "" if is_whole or offer.problems else f"?{_PART}={_CHANGE}",
        "users": _users(request, subject) if act == "retire" else [],
        **_offered(offer, key=key, reason=reason),
        **_freeze(request),
    }
    if is_whole:
        context |= change_context(request, offer)
    return TemplateResponse(request, "admin/builder/publish.html", context, status=status)


def _part(request: HttpRequest, subject: Ref, act: str) -> HttpResponse:
    """What would change, with the form that confirms exactly that."""
    offer = _offer(request, subject, act)
    if offer.problems:  # since the page was drawn
        return HttpResponse(headers={"HX-Refresh": "true"})
    _note_look(request, offer, is_again=True)
    context = _offered(offer, key="", reason="") | change_context(request, offer)
    context |= _freeze(request)
    return TemplateResponse(request, "admin/builder/change.html", context)


def _offered(offer: Offer, *, key: str, reason: str) -> dict[str, Any]:
    subject = offer.subject
    return {
        "subject": subject,
        "name": names_of([subject], drafted=offer.document)[subject],
        "kind_words": kind_words(subject.kind),
        "edits": [change_cells(edit) for edit in offer.edits],
        "is_unchanged": offer.is_unchanged,
        "act": offer.act,
        "problems": [words_of(problem) for problem in offer.problems],
        "warnings": [words_of(warning) for warning in offer.warnings],
        "lacks": listed([kind_words(kind) for kind in offer.lacks]),
        "companions": listed(
            [
                f"{kind_words(ref.kind)} · {name}"
                for ref, name in names_of(offer.companions, drafted=offer.document).items()
            ]
        ),
        "reason": reason,
        "key": key or new_key(),
        "basis": offer.basis.token() if offer.basis else "",
        "back": _back(subject, offer.act),
    }


def _freeze(request: HttpRequest) -> dict[str, Any]:
    """The freeze of the promotion calendar that holds now, and whether this person may publish all
    the same; what they wrote is kept."""
    freeze = freeze_at(clock.now())
    if freeze is None:
        return {"freeze": None}
    return {
        "freeze": freeze,
        "freeze_name": shown.label_in(freeze.label),
        "may_override": viewer_of(request).has_perm(OVERRIDE_FREEZE),
        "override_freeze": str(request.POST.get("override_freeze", "")),
    }


def _note_look(request: HttpRequest, offer: Offer, *, is_again: bool) -> None:
    """The look at something hidden; `is_again`: as a part of a page that was looked at already."""
    if not offer.is_hidden:
        return
    seen = f"{offer.act}:{viewer_of(request).pk}:{offer.subject}"
    if not cache.add(seen, 1, LOOKED_SECONDS) and is_again:
        return
    record_access(
        AccessRecord.Kind.VIEW_HIDDEN,
        looker=looker(request),
        subject=str(offer.subject),
        now=clock.real_now(),
        is_hidden=True,
        details={"page": offer.act},
    )


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


def done(request: HttpRequest, job_id: int, *, site: AdminSite) -> HttpResponse:
    """What was published, with the way on: its history, and a run."""
    user = viewer_of(request)
    job = visible_jobs(user).filter(pk=job_id, kind="publish", requested_by=user.pk).first()
    if job is None:
        raise Http404
    names = [*job.result.get("created", ()), *job.result.get("changed", ())]
    known = names_of([Ref(*name.split(":", 1)) for name in names])
    versions = reverse("admin:segmentation_definitionversion_changelist")
    context = {
        **site.each_context(request),
        "title": _("Published") if job.parameters.get("act") != "retire" else _("Retired"),
        "subtitle": job.subject,
        "names": listed(f"{kind_words(ref.kind)} · {name}" for ref, name in known.items()),
        "pages": [(name, definition_url(ref)) for ref, name in known.items()],
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
