"""The run page with the button that starts a run."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from config import clock
from membership.services.recompute import request_run
from segmentation.admin.runs import RunAdmin, TierNames
from segmentation.domain.errors import TierwiseError
from segmentation.models import Installation, Run
from segmentation.permissions import REQUEST_RUN

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


@admin.register(Run)
class StartableRunAdmin(RunAdmin):
    """Runs, and starting one with the right to."""

    change_list_template = "admin/run_list.html"

    def tier_names(self) -> TierNames:
        return tier_names()

    def get_urls(self) -> list[URLPattern]:
        start = self.admin_site.admin_view(self.recompute_view)
        return [path("recompute/", start, name="segmentation_run_recompute"), *super().get_urls()]

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
