"""Jobs: what somebody asked for and how far it is; cancelling it, and fetching its file."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config import clock
from segmentation.domain.row_numbers import row_number
from segmentation.models import Job
from segmentation.permissions import VIEW_ALL_JOBS, visible_jobs
from segmentation.services.job_kinds import job_kinds
from segmentation.services.jobs import cancel_job, job_folder

from . import shown
from .base import EMPTY, KeysetAdmin
from .exports import ExportViews
from .job_pages import job_page, subject_words
from .job_views import job_status, job_url, job_view, kind_title, may_cancel, percent, took
from .looking import looker

VIEW = "segmentation.view_job"


class KindFilter(admin.SimpleListFilter):
    """Filters by kind of job, with the kinds' titles."""

    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.name, str(kind.title)) for kind in job_kinds().values()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class WhoseFilter(admin.SimpleListFilter):
    """For those who see everybody's: only the own ones."""

    title = _("whose")
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("mine", _("Mine"))] if request.user.has_perm(VIEW_ALL_JOBS) else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(requested_by=request.user.pk) if self.value() else queryset


@admin.register(Job)
class JobAdmin(ExportViews, KeysetAdmin):
    """The own jobs; everybody's with the right to. One about something hidden needs that right."""

    list_display = (
        "serial", "shown_kind", "shown_subject", "shown_status", "shown_progress", "actor",
        "shown_requested", "took",
    )  # fmt: skip
    list_display_links = ("serial", "shown_kind")
    list_filter = ("status", KindFilter, WhoseFilter)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        return visible_jobs(request.user).defer("log")

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Everybody follows the work they asked for; the list of jobs is a right."""
        if obj is not None and obj.requested_by_id == request.user.pk:
            return True
        return request.user.has_perm(VIEW)

    def heading(self, row: Any) -> str:
        return f"{kind_title(row)} {row.pk}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            # Not behind the log-in page: a page left open must not swap that page into itself.
            path("<int:job_id>/progress/", self.progress_view, name="segmentation_job_progress"),
            path("<int:job_id>/cancel/", view(self.cancel_view), name="segmentation_job_cancel"),
            path("<int:job_id>/file/", view(self.file_view), name="segmentation_job_file"),
        ]
        return [*own, *super().get_urls()]

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        job = self._job(request, object_id)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": self.heading(job),
            "view": job_view(job, user=_person(request)),
            "may_see_list": request.user.has_perm(VIEW),
        }
        return TemplateResponse(request, "admin/jobs/job.html", context)

    def progress_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        """The moving part of the page; asked for again until the job has ended."""
        if not self.admin_site.has_permission(request):
            return HttpResponse(headers={"HX-Refresh": "true"})
        job = self._job(request, str(job_id))
        view = job_view(job, user=_person(request))
        return TemplateResponse(request, "admin/jobs/progress.html", {"view": view})

    def cancel_view(self, request: HttpRequest, job_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        job = self._job(request, str(job_id))
        if not may_cancel(job, user=_person(request)):
            raise PermissionDenied
        if cancel_job(job, actor=request.user.get_username(), now=clock.real_now()):
            messages.success(request, gettext("The job is cancelled."))
        else:
            messages.info(request, gettext("The job had ended already."))
        return HttpResponseRedirect(job_url(job))

    def file_view(self, request: HttpRequest, job_id: int) -> HttpResponse | FileResponse:
        """The result file, streamed; the right is checked again and the download written down."""
        job = self._job(request, str(job_id))
        page = job_page(job.kind)
        if job.status != Job.Status.DONE or not job.result_file:
            raise Http404
        if not page.may_download(job, user=_person(request)):
            raise PermissionDenied
        try:
            file = (job_folder(job.pk) / "result").open("rb")
        except FileNotFoundError:
            raise Http404 from None
        page.record(job, looker=looker(request), now=clock.real_now())
        return FileResponse(file, as_attachment=True, filename=job.result_file)

    def _job(self, request: HttpRequest, object_id: str) -> Job:
        number = row_number(object_id)
        job = None if number is None else visible_jobs(request.user).filter(pk=number).first()
        if job is None:
            raise Http404
        if not self.has_view_permission(request, job):
            raise PermissionDenied
        return job

    @admin.display(description=_("kind"))
    def shown_kind(self, job: Job) -> str:
        return kind_title(job)

    @admin.display(description=_("about"))
    def shown_subject(self, job: Job) -> str:
        return subject_words(job) or EMPTY

    @admin.display(description=_("status"))
    def shown_status(self, job: Job) -> SafeString:
        return job_status(job)

    @admin.display(description=_("progress"))
    def shown_progress(self, job: Job) -> str:
        part = percent(job)
        return EMPTY if part is None else f"{part} %"

    @admin.display(description=_("requested at"))
    def shown_requested(self, job: Job) -> str:
        return shown.instant(job.requested_at)

    @admin.display(description=_("took"))
    def took(self, job: Job) -> str:
        return took(job, now=clock.real_now())


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # behind the log-in
    return request.user
