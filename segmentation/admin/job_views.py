"""A job as a person may see it: words instead of codes, nothing they may not know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext

from config import clock
from segmentation.models import Job
from segmentation.permissions import CANCEL_ALL_JOBS, hidden_words
from segmentation.services import uploads
from segmentation.services.job_kinds import kind_of
from segmentation.services.jobs import job_folder
from segmentation.services.reject_words import reason_in_words

from . import shown
from .base import EMPTY
from .job_pages import job_page, subject_words
from .log_lines import log_rows, told

STATUS_COLOURS: dict[str, str] = {
    Job.Status.QUEUED: "info",
    Job.Status.RUNNING: "info",
    Job.Status.DONE: "success",
    Job.Status.FAILED: "danger",
    Job.Status.CANCELLED: "warning",
}
WAITING = (Job.Status.QUEUED, Job.Status.RUNNING)
_WAITS_TOO_LONG = timedelta(minutes=1)


@dataclass(frozen=True)
class JobView:
    """What a person sees of a job: words instead of codes, nothing they may not know."""

    job: Job
    kind: str
    about: str
    status: SafeString
    is_waiting: bool
    waits_long: bool
    percent: int | None
    done: str
    took: str
    log: Sequence[tuple[str, str]]
    error: str
    problems: Sequence[tuple[str, str, str]]
    tables: Sequence[shown.Table]
    file_url: str
    file_gone: bool
    cancel_url: str


def job_view(job: Job, *, user: User) -> JobView:
    """Reads the job's result as well when it is done."""
    now = clock.real_now()
    words = hidden_words(user)
    page, is_done = job_page(job.kind), job.status == Job.Status.DONE
    has_file = is_done and bool(job.result_file) and page.may_download(job, user=user)
    is_there = has_file and (job_folder(job.pk) / "result").is_file()
    error = job.error or {}
    return JobView(
        job=job,
        kind=kind_title(job),
        about=subject_words(job),
        status=job_status(job),
        is_waiting=job.status in WAITING,
        waits_long=job.status == Job.Status.QUEUED and now - job.requested_at > _WAITS_TOO_LONG,
        percent=percent(job),
        done=shown.count(job.done),
        took=took(job, now=now),
        log=log_rows(job.log, words=words),
        error=told(_error_words(job), words=words),
        problems=[
            (
                str(problem.get("path", "")),
                told(reason_in_words(problem["code"], problem["message"]), words=words),
                str(problem["code"]),
            )
            for problem in error.get("details") or ()
        ],
        tables=page.tables(job, user=user) if is_done else (),
        file_url=reverse("admin:segmentation_job_file", args=[job.pk]) if is_there else "",
        file_gone=has_file and not is_there,
        cancel_url=reverse("admin:segmentation_job_cancel", args=[job.pk])
        if job.status in WAITING and job.cancel_requested_at is None and may_cancel(job, user=user)
        else "",
    )


def may_cancel(job: Job, *, user: User) -> bool:
    """The person who asked for it, or who may stop everybody's; seeing a job is no right to."""
    return job.requested_by_id == user.pk or user.has_perm(CANCEL_ALL_JOBS)


def job_url(job: Job) -> str:
    """The address of the job's page."""
    return reverse("admin:segmentation_job_change", args=[job.pk])


def kind_title(job: Job) -> str:
    """What kind of job it is, in the language of this request."""
    kind = kind_of(job.kind)
    return str(kind.title) if kind else job.kind


def job_status(job: Job) -> SafeString:
    """Its status as a badge. A job that runs computes nothing by itself, so it is "under way"."""
    is_running = job.status == Job.Status.RUNNING
    words = gettext("Under way") if is_running else job.get_status_display()
    return shown.badge(words, colour=STATUS_COLOURS.get(job.status, "default"))


def percent(job: Job) -> int | None:
    """How far it is, 0 to 100; None while nobody knows."""
    if job.status == Job.Status.DONE:
        return 100
    if not job.total:
        return None
    return max(0, min(100, job.done * 100 // job.total))


def took(job: Job, *, now: datetime) -> str:
    """From its last start to its end, or to now."""
    if job.started_at is None:
        return EMPTY
    seconds = ((job.finished_at or now) - job.started_at).total_seconds()
    return gettext("%(seconds)s s") % {"seconds": f"{max(seconds, 0):.1f}"}


def _error_words(job: Job) -> str:
    error: Mapping[str, Any] = job.error or {}
    match error.get("code"):
        case "worker_died":
            return gettext("The worker died several times during this job; it was given up.")
        case "invalid" if job.kind == uploads.KIND:
            return gettext("Nothing was recorded: the file can't be imported as it is.")
    return str(error.get("message", ""))
