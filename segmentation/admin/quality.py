"""Data quality: the newest report, when it was made, and the button to make it again."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from config import clock
from segmentation.models import Job
from segmentation.permissions import visible_jobs
from segmentation.services.data_quality import (
    may_see_quality,
    newest_report,
    report_under_way,
    request_quality_report,
)
from segmentation.services.jobs import new_key

from .looking import looker
from .quality_tables import quality_page


class RefreshForm(forms.Form):
    """The button; its hidden key makes a double click one job."""

    key = forms.CharField(widget=forms.HiddenInput, max_length=100)


class QualityViews:
    """The report's addresses, below that of imports."""

    admin_site: AdminSite
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("quality/", view(self.quality_view), name="segmentation_factbatch_quality"),
            path(
                "quality/refresh/",
                view(self.refresh_view),
                name="segmentation_factbatch_quality_refresh",
            ),
            # Not behind the log-in page: a page left open must not swap that page into itself.
            path(
                "quality/waiting/",
                self.waiting_view,
                name="segmentation_factbatch_quality_waiting",
            ),
        ]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may_see = may_see_quality(_person(request))
        found: HttpResponse = super().changelist_view(  # type: ignore[misc]
            request, {**(extra_context or {}), "may_see_quality": may_see}
        )
        return found

    def quality_view(self, request: HttpRequest) -> HttpResponse:
        """Counts nothing: shows what the newest finished job found."""
        if not may_see_quality(_person(request)):
            raise PermissionDenied
        report, waiting = newest_report(), report_under_way()
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Data quality"),
            "page": quality_page(report) if report else None,
            "waiting": waiting,
            "waiting_url": _job_url(waiting, request=request),
            "form": RefreshForm(initial={"key": new_key()}),
        }
        return TemplateResponse(request, "admin/quality/report.html", context)

    def waiting_view(self, request: HttpRequest) -> HttpResponse:
        """How far the next report is; the whole page again as soon as it is there."""
        waiting = None
        if self.admin_site.has_permission(request) and may_see_quality(_person(request)):
            waiting = report_under_way()
        if waiting is None:
            return HttpResponse(headers={"HX-Refresh": "true"})
        context = {"waiting": waiting, "waiting_url": _job_url(waiting, request=request)}
        return TemplateResponse(request, "admin/quality/waiting.html", context)

    def refresh_view(self, request: HttpRequest) -> HttpResponse:
        """Asks for a new report; one that is under way already is not asked for again."""
        user = _person(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not may_see_quality(user):
            raise PermissionDenied
        form = RefreshForm(request.POST)
        if form.is_valid():
            request_quality_report(
                user=user,
                looker=looker(request),
                key=form.cleaned_data["key"],
                now=clock.real_now(),
                project_now=clock.now(),
            )
        return HttpResponseRedirect(reverse("admin:segmentation_factbatch_quality"))


def _job_url(job: Job | None, *, request: HttpRequest) -> str:
    """The address of the job, for those who may see it."""
    if job is None or not visible_jobs(request.user).filter(pk=job.pk).exists():
        return ""
    return reverse("admin:segmentation_job_change", args=[job.pk])


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # behind the log-in
    return request.user
