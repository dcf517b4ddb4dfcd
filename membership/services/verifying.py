"""Deriving a past run again as a job, for a person who waits for the verdict."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Job, Run
from segmentation.permissions import VERIFY_RUN
from segmentation.services.access_log import Looker
from segmentation.services.job_kinds import job_kind
from segmentation.services.jobs import JobWork, request_job

from .verification import verify_run

KIND = "verify_run"
VERIFIABLE = (Run.Status.PUBLISHED, Run.Status.HISTORICAL)


def request_verification(
    run: Run, *, user: User, looker: Looker, key: str | None, now: datetime
) -> Job:
    """Queue the verification of a run. The same `key` again gives the same job. `now` is the real
    clock's. Errors: `forbidden`, `not_found` for a run without a result."""
    if not user.has_perm(VERIFY_RUN):
        raise TierwiseError(_("You may not verify runs."), code="forbidden")
    if not is_verifiable(run):
        raise NotFoundError(_("This run has no result to verify."))
    return request_job(
        KIND,
        parameters={"run": run.pk},
        user=user,
        actor=looker.actor,
        now=now,
        subject=run_subject(run.pk),
        key=key,
    )


def is_verifiable(run: Run) -> bool:
    """Whether a run keeps a result: one that answers, or one that is or was held."""
    is_or_was_held = bool(run.held_reasons and run.recorded_hash) and not run.is_dry_run
    return run.status in VERIFIABLE or is_or_was_held


def run_subject(run_id: int) -> str:
    """What jobs about a run are filed under."""
    return f"run:{run_id}"


@job_kind(KIND, title=gettext_lazy("Verify a run"))
def verify(work: JobWork) -> dict[str, Any]:
    """Derive the run again and compare. The result: both hashes, `equal`, `erased`."""
    user = work.user
    if user is None or not user.has_perm(VERIFY_RUN):
        raise TierwiseError(_("You may not verify runs."), code="forbidden")
    run_id = int(work.parameters["run"])
    work.progress(0, stage=_("Deriving the run again"))
    found = verify_run(run_id, now=work.clock())
    work.note(
        _("Both hashes are the same.") if found.equal else _("The derived hash is another one.")
    )
    return {
        "run": run_id,
        "recorded_hash": found.recorded_hash,
        "derived_hash": found.derived_hash,
        "equal": found.equal,
        "erased": found.erased,
    }


def newest_verification(run_id: int) -> Job | None:
    """The newest job that verifies this run, finished or not."""
    found = Job.objects.filter(kind=KIND, subject=run_subject(run_id))
    return found.order_by("-pk").first()
