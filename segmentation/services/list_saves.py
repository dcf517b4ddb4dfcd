"""Saving a group of customers as a list: what a page shows, kept under a name.

Who may see the group now may save it, and only the customers they see. A hidden group gives a
hidden list. The copy is made by a job: a group may have a million members.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.definitions import Label
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Job, Run
from segmentation.permissions import sight, visible_lists

from .access_log import Looker, record_access
from .customer_lists import ADD_LIST, create_list
from .export_basis import answering_run
from .job_kinds import job_kind
from .jobs import JobWork, request_job
from .list_members import save_members
from .list_uploads import keep_with_the_members
from .subjects import Subject, read_subject, subject_members

KIND = "list_save"


def request_save(
    subject: Subject,
    *,
    run: Run,
    key: str,
    label: Label,
    note: str,
    reason: str,
    user: User,
    looker: Looker,
    now: datetime,
    request_key: str | None,
) -> Job:
    """Make a list of that key and queue its filling with the group as it is at `run`.

    `subject` must have been read for this user. The same `request_key` again gives the same job.
    Errors: those of `create_list`. `now`: the real clock.
    """
    if request_key is not None:
        again = Job.objects.filter(idempotency_key=request_key, requested_by=user).first()
        if again is not None:
            return again
    with transaction.atomic():
        row = create_list(
            key=key,
            label=label,
            is_hidden=subject.is_hidden,
            note=note,
            viewer=user,
            actor=looker.actor,
            reason=reason,
        )
        if subject.is_hidden:
            record_access(
                "view_hidden",
                looker=looker,
                subject=str(subject),
                now=now,
                is_hidden=True,
                details={"saved_as": f"list:{row.key}"},
            )
        return request_job(
            KIND,
            parameters={"list": row.pk, "subject": str(subject), "run": run.pk, "reason": reason},
            user=user,
            actor=looker.actor,
            now=now,
            subject=f"list:{row.key}",
            is_hidden=row.is_hidden,
            key=request_key,
        )


@job_kind(KIND, title=gettext_lazy("Saving a group as a list"))
def save_group(work: JobWork) -> dict[str, Any]:
    """Fill the list with the group's members, all of them and the job's result or nothing."""
    if work.job.result.get("read") is not None:  # an earlier attempt was killed behind its commit
        return dict(work.job.result)
    asked, user = work.parameters, work.user
    if user is None or not user.has_perm(ADD_LIST):
        raise TierwiseError(_("You may not change lists."), code="forbidden")
    row = visible_lists(user).filter(pk=asked["list"]).first()
    if row is None:
        raise NotFoundError(_("The list is gone."))
    run = answering_run({"run": asked["run"]})
    subject = read_subject(asked["subject"], run=run, viewer=user)
    if subject.is_hidden and not row.is_hidden:  # hidden since it was asked for
        raise TierwiseError(
            _("The group is restricted now; only a restricted list may hold it."), code="forbidden"
        )
    members = subject_members(subject, run=run, viewer=user)
    seen = sight(user).members(members, is_hidden=subject.is_hidden)
    work.progress(0, total=len(seen), stage=_("Writing the list"))
    with transaction.atomic():
        written = save_members(
            row, seen, mode="replace", actor=work.job.actor, reason=asked["reason"]
        )
        origin = {"list": row.key, "subject": str(subject), "run": run.pk}
        result = {**origin, **written.as_document()}
        keep_with_the_members(work, result)
    return result
