"""What publishing or retiring would change, for the page that asks for a confirmation."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from config import clock
from membership.services.draft_checks import answers_at_once
from membership.services.preview import Change, change_of, request_preview
from membership.services.publishing import Offer
from membership.services.publishing_basis import Basis
from segmentation.admin import shown
from segmentation.domain.errors import TierwiseError
from segmentation.models import Job

from .context import viewer_of
from .previews import customer_links, external_ids, result_context
from .words import kind_words, movement_rows, names_of

_UNFINISHED = (Job.Status.FAILED, Job.Status.CANCELLED)


def change_context(request: HttpRequest, offer: Offer) -> dict[str, Any]:
    """The change in full; where new metrics must be computed first, the job that does it."""
    user, now = viewer_of(request), clock.real_now()
    document, subject = offer.document, str(offer.subject)
    if offer.is_unchanged or offer.basis is None or offer.draft is None:
        return {}
    try:
        is_run = offer.act == "publish" and offer.basis.run is not None
        if is_run and not answers_at_once(offer.draft, offer.subject):
            return _from_job(request, _job(request, offer, offer.basis, now=now))
        named = subject if is_run and offer.subject.kind == "segment" else ""
        change = change_of(document, viewer=user, now=now, named=named)
        found = _shown(change, document)
        found["entering"] = customer_links(request, external_ids(change.entered))
        found["leaving"] = customer_links(request, external_ids(change.left))
        return found
    except TierwiseError as error:
        return {"change_error": error.message}


def _job(request: HttpRequest, offer: Offer, basis: Basis, *, now: datetime) -> Job:
    """The preview of exactly this basis: one job a person, and after one that did not get to its
    end another, if `again` asks for it by its number."""
    user = viewer_of(request)
    key = f"shown:{user.pk}:{basis.fingerprint()[:40]}"
    found = Job.objects.filter(requested_by=user, idempotency_key__startswith=key)
    last = found.order_by("-pk").first()
    if last is not None:
        if last.status not in _UNFINISHED or request.GET.get("again") != str(last.pk):
            return last
        key = f"{key}:{last.pk}"
    return request_preview(
        offer.document, subject=str(offer.subject), user=user, actor=user.get_username(), now=now,
        key=key,
    )  # fmt: skip


def _from_job(request: HttpRequest, job: Job) -> dict[str, Any]:
    """What a job computed of the change; until then nobody can confirm what was not shown."""
    if job.status == Job.Status.DONE:
        return result_context(request, job.result) | {"is_from_job": True}
    if job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
        address = reverse("admin:builder_preview_job", args=[job.pk])
        return {"job": job, "job_url": f"{address}?then=reload", "is_waiting": True}
    return {
        "change_error": (job.error or {}).get("message") or _("The preview was cancelled."),
        "again_url": f"{request.path}?part=change&again={job.pk}",
    }


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
