"""The run page with the buttons that start a run and verify one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from config import clock
from membership.services.recompute import request_run
from membership.services.verifying import (
    KIND,
    is_verifiable,
    newest_verification,
    request_verification,
)
from segmentation.admin import shown
from segmentation.admin.job_pages import JobPage, register_job_page
from segmentation.admin.job_views import job_status
from segmentation.admin.looking import looker
from segmentation.admin.run_panels import TierNames
from segmentation.admin.runs import RunAdmin
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Installation, Job, Run
from segmentation.permissions import REQUEST_RUN, VERIFY_RUN, visible_jobs
from segmentation.services.jobs import new_key

from .held_runs import REJECT, RELEASE, decision_view, held_panel
from .wording import tier_names


class RecomputeForm(forms.Form):
    """The as-of of the run to start; an earlier one than published makes a historical run."""

    as_of = forms.SplitDateTimeField(
        label=_("As of"),
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text=_(
            "Before the newest published run, the result is stored as historical and changes "
            "nothing current."
        ),
    )


class KeyForm(forms.Form):
    """A button; its hidden key makes a double click one job."""

    key = forms.CharField(widget=forms.HiddenInput, max_length=100)


@dataclass(frozen=True)
class VerificationPanel:
    """What the run's page says about its newest verification; `job` None: there was none."""

    may_ask: bool
    form: KeyForm
    job: Job | None = None
    verdict: Any = ""
    recorded_hash: str = ""
    derived_hash: str = ""
    erased: str = ""
    at: str = ""
    job_url: str = ""


def verification_of(run: Run, *, request: HttpRequest) -> VerificationPanel | None:
    """The panel for runs that have a result."""
    if not is_verifiable(run):
        return None
    may_ask = request.user.has_perm(VERIFY_RUN)
    form = KeyForm(initial={"key": new_key()})
    job = newest_verification(run.pk)
    if job is None:
        return VerificationPanel(may_ask, form)
    result: Mapping[str, Any] = job.result if job.status == Job.Status.DONE else {}
    is_seen = visible_jobs(request.user).filter(pk=job.pk).exists()
    return VerificationPanel(
        may_ask=may_ask,
        form=form,
        job=job,
        verdict=_verdict(job),
        recorded_hash=str(result.get("recorded_hash", "")),
        derived_hash=str(result.get("derived_hash", "")),
        erased=shown.count(result.get("erased")),
        at=shown.instant(job.finished_at or job.requested_at),
        job_url=reverse("admin:segmentation_job_change", args=[job.pk]) if is_seen else "",
    )


def _verdict(job: Job) -> SafeString:
    if job.status != Job.Status.DONE:
        return job_status(job)
    if job.result["equal"]:
        return shown.badge(_("the same result"), colour="success")
    return shown.badge(_("another result"), colour="danger")


def _verification_tables(job: Job, *, user: Any) -> tuple[shown.Table, ...]:
    found = job.result
    run = found["run"]
    rows = [
        (_("run"), shown.link("segmentation_run_change", args=[run], text=run)),
        (_("verdict"), _verdict(job)),
        (_("recorded hash"), found["recorded_hash"]),
        (_("derived hash"), found["derived_hash"]),
        (_("erased since"), shown.count(found["erased"])),
    ]
    return (shown.Table(_("Result"), (_("what"), _("value")), rows),)


register_job_page(KIND, JobPage(_verification_tables))


@admin.register(Run)
class StartableRunAdmin(RunAdmin):
    """Runs, and starting one with the right to."""

    change_list_template = "admin/run_list.html"

    def tier_names(self) -> TierNames:
        return tier_names()

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("recompute/", view(self.recompute_view), name="segmentation_run_recompute"),
            path("<int:run_id>/verify/", view(self.verify_view), name="segmentation_run_verify"),
            *(
                path(
                    f"<int:run_id>/{act}/",
                    view(partial(decision_view, act=act, site=self.admin_site)),
                    name=f"segmentation_run_{act}",
                )
                for act in (RELEASE, REJECT)
            ),
        ]
        return [*own, *super().get_urls()]

    def page_context(self, run: Run, *, request: HttpRequest) -> dict[str, Any]:
        context = super().page_context(run, request=request)
        return {
            **context,
            "verification": verification_of(run, request=request),
            "held": held_panel(run, request=request),
        }

    def verify_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """Asks for the run to be derived again. Sent twice, the form starts one job."""
        user = request.user
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not user.has_perm(VERIFY_RUN) or not self.has_view_permission(request):
            raise PermissionDenied
        assert isinstance(user, User)  # behind the log-in
        run = Run.objects.filter(pk=run_id).first()
        form = KeyForm(request.POST)
        if run is None or not form.is_valid():
            raise Http404
        try:
            job = request_verification(
                run,
                user=user,
                looker=looker(request),
                key=form.cleaned_data["key"],
                now=clock.real_now(),
            )
        except NotFoundError:
            raise Http404 from None
        return HttpResponseRedirect(reverse("admin:segmentation_job_change", args=[job.pk]))

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may_start = request.user.has_perm(REQUEST_RUN)
        return super().changelist_view(
            request, {**(extra_context or {}), "may_request_run": may_start}
        )

    def recompute_view(self, request: HttpRequest) -> HttpResponse:
        """Asks for the as-of and queues a run. Sent twice, the form starts one run."""
        if not request.user.has_perm(REQUEST_RUN):
            raise PermissionDenied
        now = clock.now().replace(microsecond=0)
        form = RecomputeForm(request.POST or None, initial={"as_of": now})
        if request.method == "POST" and form.is_valid():
            try:
                run_id = _queue(form.cleaned_data["as_of"], actor=request.user.get_username())
            except TierwiseError as error:
                form.add_error(None, error.message)
            else:
                messages.success(request, gettext("The run is queued."))
                return HttpResponseRedirect(reverse("admin:segmentation_run_change", args=[run_id]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Recompute"),
            "form": form,
        }
        return TemplateResponse(request, "admin/recompute.html", context)


def _queue(as_of: Any, *, actor: str) -> int:
    """One waiting run per as-of and person, however often the button is clicked."""
    with transaction.atomic():
        # One row that always exists serialises the clicks; the read below sees the first one's run.
        Installation.objects.select_for_update().filter(pk=1).first()
        waiting = Run.objects.filter(
            as_of=as_of,
            requested_by=actor,
            status__in=(Run.Status.QUEUED, Run.Status.RUNNING),
        ).first()
        if waiting is not None:
            return int(waiting.pk)
        return int(request_run(as_of=as_of, actor=actor, now=clock.real_now()).pk)
