"""Stopping a run: what it means is shown first, and it is confirmed."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _

from config import clock
from segmentation.models import Run
from segmentation.permissions import CANCEL_RUN
from segmentation.services.runs import cancel_run

from . import shown
from .run_progress import WAITING, progress_words


class CancelRunMixin:
    """The page that stops a run, for people with the right to."""

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.cancel_view)  # type: ignore[attr-defined]
        own = [path("<int:run_id>/stop/", view, name="segmentation_run_cancel")]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    def may_cancel(self, run: Run, *, request: HttpRequest) -> bool:
        """Whether the button is offered."""
        is_open = run.status in WAITING and run.cancelled_at is None
        return is_open and request.user.has_perm(CANCEL_RUN)

    def cancel_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        user = request.user
        site: Any = self
        if not user.has_perm(CANCEL_RUN) or not site.has_view_permission(request):
            raise PermissionDenied
        run = Run.objects.filter(pk=run_id).defer("log", "cuts").first()
        if run is None:
            raise Http404
        back = HttpResponseRedirect(reverse("admin:segmentation_run_change", args=[run.pk]))
        if request.method == "POST" or run.status not in WAITING:
            stopped = request.method == "POST" and cancel_run(
                run.pk, actor=user.get_username(), now=clock.real_now()
            )
            if stopped:
                messages.success(request, _("The run is being stopped. It publishes nothing."))
            else:
                messages.warning(
                    request, _("It was too late: the run has ended, or is being published.")
                )
            return back
        context = {
            **site.admin_site.each_context(request),
            "opts": site.opts,
            "title": _("Stop run %(run)s") % {"run": run.pk},
            "run": run,
            "as_of": shown.instant(run.as_of),
            "progress": progress_words(run),
        }
        return TemplateResponse(request, "admin/runs/cancel.html", context)
