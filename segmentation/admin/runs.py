"""The page of runs. `membership.admin` registers it: starting runs is the work of the app above."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import User
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.models import Run
from segmentation.permissions import hidden_words, row_scope
from segmentation.services.run_errors import error_words

from . import shown
from .base import EMPTY, KeysetAdmin
from .exports import ExportButtonMixin
from .log_lines import RESTRICTED as RESTRICTED
from .log_lines import told
from .run_cancel import CancelRunMixin
from .run_panels import TierNames, run_panels
from .run_progress import WAITING, progress_words
from .run_results import VisibleSegmentFilter as VisibleSegmentFilter


class RunAdmin(CancelRunMixin, ExportButtonMixin, KeysetAdmin):
    """Runs with their timings, log, error and sizes."""

    export_source = "runs"
    list_display = (
        "serial", "shown_as_of", "shown_status", "requested_by", "shown_requested", "took",
        "shown_customers",
    )  # fmt: skip
    list_display_links = ("serial", "shown_as_of")
    list_filter = ("status", "as_of")
    change_form_outer_before_template = "admin/runs/above.html"
    change_form_outer_after_template = "admin/runs/panels.html"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("shown_as_of", "shown_status"),
                    ("requested_by", "shown_requested"),
                    ("shown_started", "shown_finished"),
                    ("took", "shown_customers"),
                    ("shown_error",),
                )
            },
        ),
        (
            _("Computed from"),
            {
                "fields": (
                    ("watermark", "shown_base_run"),
                    ("shown_definition_set", "engine"),
                    ("tzdata_version", "attempts"),
                    ("recorded_hash",),
                    ("parity_checked", "shown_disagreements"),
                )
            },
        ),
    )

    def get_urls(self) -> list[URLPattern]:
        # Not behind the log-in page: a page left open must not swap that page into itself.
        name = "segmentation_run_progress"
        return [path("<int:run_id>/progress/", self.progress_view, name=name), *super().get_urls()]

    def get_list_display(self, request: HttpRequest) -> Any:
        """Without the number of customers for whoever sees some stores only."""
        names = super().get_list_display(request)
        if row_scope(request.user) is None:
            return names
        return [name for name in names if name != "shown_customers"]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        run = self.get_object(request, object_id or "")
        context = self.page_context(run, request=request) if run else {}
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), **context}
        )

    def page_context(self, run: Run, *, request: HttpRequest) -> dict[str, Any]:
        """What the templates around the fields show."""
        panels = run_panels(run, user=request.user, tiers=self.tier_names())
        return {"panels": panels, "run": run, **self._progress(run, request=request)}

    def _progress(self, run: Run, *, request: HttpRequest) -> dict[str, Any]:
        may_cancel = self.may_cancel(run, request=request)
        return {"progress": progress_words(run), "may_cancel": may_cancel}

    def progress_view(self, request: HttpRequest, run_id: int) -> HttpResponse:
        """What the run is doing; the whole page again as soon as it has ended."""
        user = request.user
        if not self.admin_site.has_permission(request):
            return HttpResponse(headers={"HX-Refresh": "true"})
        assert isinstance(user, User)
        run = Run.objects.filter(pk=run_id).defer("log", "cuts").first()
        if run is None or not self.has_view_permission(request, run):
            raise Http404
        if run.status not in WAITING:
            return HttpResponse(headers={"HX-Refresh": "true"})
        context = {"run": run, **self._progress(run, request=request)}
        return TemplateResponse(request, "admin/runs/progress.html", context)

    @admin.display(description=_("oracle disagreements"))
    def shown_disagreements(self, run: Run) -> str:
        return shown.count(len(run.parity_mismatches))

    def tier_names(self) -> TierNames:
        """Names by program key and tier key; the app above knows them."""
        return {}

    def heading(self, row: Any) -> str:
        return f"{row.pk} · {shown.instant(row.as_of)}"

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        run = super().get_object(request, object_id, from_field)
        if run is not None:
            run.shown_error = told(error_words(run), words=hidden_words(request.user))
            run.counts_are_seen = row_scope(request.user) is None
        return run

    @admin.display(description=_("as of"))
    def shown_as_of(self, run: Run) -> str:
        return shown.instant(run.as_of)

    @admin.display(description=_("status"))
    def shown_status(self, run: Run) -> SafeString:
        return shown.run_status(run)

    @admin.display(description=_("requested at"))
    def shown_requested(self, run: Run) -> str:
        return shown.instant(run.requested_at)

    @admin.display(description=_("started at"))
    def shown_started(self, run: Run) -> str:
        return shown.instant(run.started_at)

    @admin.display(description=_("finished at"))
    def shown_finished(self, run: Run) -> str:
        return shown.instant(run.finished_at)

    @admin.display(description=_("took"))
    def took(self, run: Run) -> str:
        return shown.seconds(run.seconds)

    @admin.display(description=_("number of customers"))
    def shown_customers(self, run: Any) -> str:
        return shown.count(run.customers) if getattr(run, "counts_are_seen", True) else EMPTY

    @admin.display(description=_("error"))
    def shown_error(self, run: Any) -> Any:
        return run.shown_error or EMPTY

    @admin.display(description=_("starts from run"))
    def shown_base_run(self, run: Run) -> SafeString | str:
        if run.base_run_id is None:
            return EMPTY
        return shown.link("segmentation_run_change", args=[run.base_run_id], text=run.base_run_id)

    @admin.display(description=_("definition set"))
    def shown_definition_set(self, run: Run) -> str:
        return str(run.definition_set) if run.definition_set_id else EMPTY
