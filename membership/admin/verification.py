"""Which runs were derived again, and whether the result was the same."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from membership.services.verifying import KIND, VERIFIABLE, run_subject
from segmentation.admin import shown
from segmentation.admin.asking import AFTER, PAGE, Answer, Question, answered
from segmentation.admin.job_views import job_status
from segmentation.models import Job, Run
from segmentation.permissions import VERIFY_RUN, visible_jobs
from segmentation.services.jobs import new_key

RIGHTS = ("segmentation.view_run", VERIFY_RUN)
QUESTION = Question(
    _("Verification"),
    intro=_(
        "A run can be derived again from the facts, definitions and memberships it was made of. "
        "The same hash means that every value and every decision came out the same."
    ),
)


def verification_view(request: HttpRequest) -> HttpResponse:
    """Runs with a result, the newest first, each with its newest verification."""
    if not request.user.has_perms(RIGHTS):
        raise PermissionDenied
    runs = Run.objects.filter(status__in=VERIFIABLE).defer("log", "cuts").order_by("-pk")
    after = request.GET.get(AFTER, "")
    if after.isdecimal() and len(after) < 19:
        runs = runs.filter(pk__lt=int(after))
    rows = list(runs[: PAGE + 1])
    page = rows[:PAGE]
    jobs = _newest_jobs(page)
    visible = set(
        visible_jobs(request.user)
        .filter(pk__in=[job.pk for job in jobs.values()])
        .values_list("pk", flat=True)
    )
    cells = [_cells(run, jobs.get(run_subject(run.pk)), visible, request=request) for run in page]
    headers = (
        _("run"), _("as of"), _("status"), _("result hash"), _("verdict"), _("verified at"),
        _("by"), "",
    )  # fmt: skip
    table = shown.Table(_("Runs"), headers, cells, empty=_("No run was published yet."))
    answer = Answer(table, str(page[-1].pk) if len(rows) > PAGE else "")
    return answered(request, QUESTION, answer, form=None, site=admin.site)


def _newest_jobs(runs: list[Run]) -> dict[str, Job]:
    """By what the job is about: its newest verification."""
    subjects = [run_subject(run.pk) for run in runs]
    found = Job.objects.filter(kind=KIND, subject__in=subjects).defer("log")
    return {job.subject: job for job in found.order_by("subject", "-pk").distinct("subject")}


def _cells(
    run: Run, job: Job | None, visible: set[int], *, request: HttpRequest
) -> tuple[Any, ...]:
    at: Any = shown.EMPTY
    if job is not None:
        at = shown.instant(job.finished_at or job.requested_at)
        if job.pk in visible:
            at = shown.link("segmentation_job_change", args=[job.pk], text=at)
    return (
        shown.link("segmentation_run_change", args=[run.pk], text=run.pk),
        shown.instant(run.as_of),
        shown.run_status(run),
        f"{run.recorded_hash[:12]}…" if run.recorded_hash else shown.EMPTY,
        verdict(job),
        at,
        job.actor if job else shown.EMPTY,
        render_to_string("admin/audit/verify.html", {"run": run, "key": new_key()}, request),
    )


def verdict(job: Job | None) -> SafeString | str:
    """What the newest verification found, or how far it is."""
    if job is None:
        return shown.badge(_("not verified"), colour="default")
    if job.status != Job.Status.DONE:
        return job_status(job)
    if job.result.get("equal"):
        return shown.badge(_("the same result"), colour="success")
    return shown.badge(_("another result"), colour="danger")


URLS = [
    path(
        "admin/audit/verification/",
        admin.site.admin_view(verification_view),
        name="audit_verification",
    )
]
