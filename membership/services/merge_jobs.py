"""A merge and its undo as jobs, for a person who confirmed what was shown or for an API key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import AccessRecord, Customer, CustomerMerge, FactBatch, Job
from segmentation.permissions import MERGE_CUSTOMERS, visible_customers
from segmentation.services.access_log import Looker
from segmentation.services.job_kinds import job_kind
from segmentation.services.jobs import JobWork, request_job
from segmentation.services.merge_moves import Writer
from segmentation.services.merging import refuse_merged_again, refused

from .merging import dry_run, merge_customers, required_reason, undo_merge

MERGE, UNDO = "merge_customers", "undo_merge"
_VIA: Mapping[str, FactBatch.Source] = {AccessRecord.Via.API: FactBatch.Source.API}


def request_merge(
    survivor: Customer,
    merged: Customer,
    *,
    reason: str,
    digest: str | None,
    looker: Looker,
    now: datetime,
    project_now: datetime,
    key: str | None = None,
) -> Job:
    """Queue a merge; with the `digest` of a dry run it does that or nothing. Whether the caller may
    see both customers is the caller's to check. `now` is the real clock's.

    Errors: `forbidden`, `reason_required`, `same_customer`, `changed`.
    """
    _require(looker.user)
    reason = required_reason(reason)
    shown = dry_run(survivor, merged)
    if digest is not None and digest != shown.digest:
        raise refused("changed", _("Something changed since it was shown: look at it again."))
    # Who was shown nothing asks for whatever it will be: an order meanwhile must not refuse it.
    parameters = {"survivor": survivor.pk, "merged": merged.pk, "digest": digest}
    return _request(MERGE, parameters, reason, looker, now, project_now, key)


def request_undo(
    merge: CustomerMerge,
    *,
    reason: str,
    looker: Looker,
    now: datetime,
    project_now: datetime,
    key: str | None = None,
) -> Job:
    """Queue the undo of a merge. Errors: `forbidden`, `reason_required`, `undone`, `too_late`,
    `merged_again`."""
    _require(looker.user)
    reason = required_reason(reason)
    if merge.undone_at is not None:
        raise refused("undone", _("This merge is undone already."))
    if now >= merge.until:
        raise refused("too_late", _("A merge can be undone for 30 days."))
    refuse_merged_again(merge)
    parameters = {
        "merge": merge.pk, "survivor": merge.survivor_id, "merged": merge.merged_id,
    }  # fmt: skip
    return _request(UNDO, parameters, reason, looker, now, project_now, key)


@job_kind(MERGE, title=gettext_lazy("Merge of two customers"))
def merge(work: JobWork) -> dict[str, object]:
    """Do it. Killed behind its commit, the next attempt finds that it is done."""
    found = CustomerMerge.objects.filter(job=work.job.pk).first()
    if found is None:
        asked = work.parameters
        _require_still(work, asked["survivor"], asked["merged"])
        work.progress(0, total=1)
        found = merge_customers(
            asked["survivor"],
            asked["merged"],
            reason=asked["reason"],
            writer=_writer(work),
            digest=asked["digest"],
            job=work.job.pk,
        )
    work.note(_("Merged. It can be undone until %(until)s.") % {"until": f"{found.until:%Y-%m-%d}"})
    return {"merge": found.pk}


@job_kind(UNDO, title=gettext_lazy("Undo of a merge"))
def undo(work: JobWork) -> dict[str, object]:
    """Do it, or find that the attempt before this one has."""
    asked = work.parameters
    done = CustomerMerge.objects.filter(
        pk=asked["merge"], undone_at__gte=work.job.requested_at, undone_by=work.job.actor
    )
    if not done.exists():
        _require_still(work, asked["survivor"])
        work.progress(0, total=1)
        undo_merge(asked["merge"], reason=asked["reason"], writer=_writer(work))
    work.note(_("Undone. Both customers are there again."))
    return {"merge": asked["merge"]}


def _request(
    kind: str,
    parameters: Mapping[str, Any],
    reason: str,
    looker: Looker,
    now: datetime,
    project_now: datetime,
    key: str | None,
) -> Job:
    times = {"asked_at": now.isoformat(), "project_now": project_now.isoformat()}
    return request_job(
        kind,
        # No id: what names the two is in the merge, and goes with an erasure.
        parameters={**parameters, **times, "reason": reason, "via": looker.via},
        user=looker.user,
        actor=looker.actor,
        now=now,
        key=key,
    )


def _writer(work: JobWork) -> Writer:
    asked, now = work.parameters, work.clock()
    passed = now - datetime.fromisoformat(asked["asked_at"])
    return Writer(
        source=_VIA.get(asked["via"], FactBatch.Source.ADMIN),
        actor=work.job.actor,
        recorded_at=now,
        now=datetime.fromisoformat(asked["project_now"]) + passed,
    )


def _require(user: User | None) -> None:
    """A key's scope was checked where it asked."""
    if user is not None and not user.has_perm(MERGE_CUSTOMERS):
        raise TierwiseError(_("You may not merge customers."), code="forbidden")


def _require_still(work: JobWork, *customers: int) -> None:
    """The rights of now: of a person also whether they still see these customers."""
    user = work.user
    _require(user)
    if user is None:
        return
    if visible_customers(user).filter(pk__in=customers).count() != len(set(customers)):
        raise NotFoundError(_("There is no such customer."))
