"""Imports: what was recorded and by whom, and the page to upload a file of facts."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from config import clock
from segmentation.domain.errors import TierwiseError
from segmentation.domain.facts import FACT_KINDS
from segmentation.models import FactBatch, Job
from segmentation.permissions import IMPORT_FACTS, visible_jobs
from segmentation.services.jobs import new_key
from segmentation.services.uploads import (
    KIND,
    SUFFIXES,
    import_kinds,
    request_import,
    template_header,
)

from . import shown
from .base import EMPTY, KeysetAdmin, KeysetChangeList
from .facts import KIND_WORDS
from .looking import looker
from .quality import QualityViews

_REASONS_ARE_WITH = {
    FactBatch.Source.IMPORT: gettext_lazy(
        "Not kept here, only their number. The command writes rejected rows with their reasons to "
        "the file named with --rejects; importing the same file again with it changes nothing that "
        "is recorded."
    ),
    FactBatch.Source.API: gettext_lazy(
        "Not kept here, only their number. The answer to the call gave the reason of each row."
    ),
    FactBatch.Source.ADMIN: gettext_lazy(
        "With the job of the upload, which only those who see that job can open."
    ),
}


class UploadForm(forms.Form):
    """A file of facts, of what kind, and whether unknown customers are refused."""

    kind = forms.ChoiceField(
        label=gettext_lazy("Kind"),
        choices=[(kind, KIND_WORDS[kind]) for kind in import_kinds()],
        widget=UnfoldAdminSelectWidget,
    )
    file = forms.FileField(
        label=gettext_lazy("File"),
        widget=UnfoldAdminFileFieldWidget(attrs={"accept": ".csv,.gz,.parquet"}),
        max_length=255,
        help_text=gettext_lazy("CSV in UTF-8 with a header, also packed (.csv.gz), or Parquet."),
    )
    strict = forms.BooleanField(
        label=gettext_lazy("Refuse unknown customers"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=gettext_lazy(
            "Otherwise a customer whom only this file names is made, known by ID only."
        ),
    )
    key = forms.CharField(widget=forms.HiddenInput, max_length=100)

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if not file.name.lower().endswith(SUFFIXES):
            raise forms.ValidationError(_("Files end in .csv, .csv.gz or .parquet."))
        return file


class BatchChangeList(KeysetChangeList):
    """The imports of a page with the uploads that recorded them: one query more."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        uploaded = [row for row in self.result_list if row.source == FactBatch.Source.ADMIN]
        jobs: dict[int, Job] = {}
        if uploaded:
            oldest = min(row.recorded_at for row in uploaded)
            asked = visible_jobs(request.user).filter(kind=KIND, finished_at__gte=oldest)
            for job in asked.only("pk", "result"):
                jobs.update(dict.fromkeys(job.result.get("batches") or (), job))
        for row in self.result_list:
            row.job = jobs.get(row.pk)


@admin.register(FactBatch)
class FactBatchAdmin(QualityViews, KeysetAdmin):
    """What imports and calls recorded, each with the job it came by where there is one."""

    change_list_template = "admin/imports/list.html"
    list_display = (
        "serial", "shown_kind", "source", "file_name", "actor", "shown_recorded", "shown_read",
        "shown_inserted", "shown_updated", "shown_rejected", "shown_job",
    )  # fmt: skip
    list_filter = ("source", "recorded_at")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("shown_kind", "source"),
                    ("file_name", "actor"),
                    ("shown_recorded", "shown_job"),
                )
            },
        ),
        (
            gettext_lazy("Rows"),
            {
                "fields": (
                    ("shown_read", "shown_inserted", "shown_updated"),
                    ("shown_unchanged", "shown_rejected", "generation"),
                    ("shown_reasons",),
                )
            },
        ),
    )

    def heading(self, row: Any) -> str:
        return f"{KIND_WORDS.get(row.kind, row.kind)} {row.pk}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("upload/", view(self.upload_view), name="segmentation_factbatch_upload"),
            path(
                "template/<str:kind>/",
                view(self.template_view),
                name="segmentation_factbatch_template",
            ),
        ]
        return [*own, *super().get_urls()]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return BatchChangeList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may_import = request.user.has_perm(IMPORT_FACTS)
        return super().changelist_view(request, {**(extra_context or {}), "may_import": may_import})

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        batch = super().get_object(request, object_id, from_field)
        if batch is not None and not hasattr(batch, "job"):
            batch.job = _job_of(batch, jobs=visible_jobs(request.user))
        return batch

    def upload_view(self, request: HttpRequest) -> HttpResponse:
        """Takes the file; the import runs as a job. Sent twice, the form makes one job."""
        user = request.user
        if not user.has_perm(IMPORT_FACTS):
            raise PermissionDenied
        assert isinstance(user, User)  # behind the log-in
        form = UploadForm(request.POST or None, request.FILES or None, initial={"key": new_key()})
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data["file"]
            try:
                job = request_import(
                    form.cleaned_data["kind"],
                    file=file,
                    file_name=file.name,
                    strict=form.cleaned_data["strict"],
                    user=user,
                    looker=looker(request),
                    key=form.cleaned_data["key"],
                    now=clock.real_now(),
                    project_now=clock.now(),
                )
            except TierwiseError as error:
                form.add_error(None, error.message)
            else:
                return HttpResponseRedirect(reverse("admin:segmentation_job_change", args=[job.pk]))
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Import a file"),
            "form": form,
            "kinds": [
                (kind, KIND_WORDS[kind], _columns(kind, required=True), _columns(kind))
                for kind in import_kinds()
            ],
        }
        return TemplateResponse(request, "admin/imports/upload.html", context)

    def template_view(self, request: HttpRequest, kind: str) -> HttpResponse:
        """An empty CSV file with every column of a kind."""
        if not request.user.has_perm(IMPORT_FACTS):
            raise PermissionDenied
        try:
            header = template_header(kind)
        except TierwiseError:
            raise Http404 from None
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{kind}.csv"'
        response.write("\ufeff")
        csv.writer(response).writerow(header)
        return response

    @admin.display(description=gettext_lazy("kind"))
    def shown_kind(self, batch: FactBatch) -> str:
        return str(KIND_WORDS.get(batch.kind, batch.kind))

    @admin.display(description=gettext_lazy("recorded at"))
    def shown_recorded(self, batch: FactBatch) -> str:
        return shown.instant(batch.recorded_at)

    @admin.display(description=gettext_lazy("job"))
    def shown_job(self, batch: Any) -> SafeString | str:
        if batch.job is None:
            return EMPTY
        words = _("%(number)s, rejected rows") if batch.rejected else "%(number)s"
        text = words % {"number": batch.job.pk}
        return shown.link("segmentation_job_change", args=[batch.job.pk], text=text)

    @admin.display(description=gettext_lazy("rows read"))
    def shown_read(self, batch: FactBatch) -> str:
        return shown.count(batch.read)

    @admin.display(description=gettext_lazy("new rows"))
    def shown_inserted(self, batch: FactBatch) -> str:
        return shown.count(batch.inserted)

    @admin.display(description=gettext_lazy("updated rows"))
    def shown_updated(self, batch: FactBatch) -> str:
        return shown.count(batch.updated)

    @admin.display(description=gettext_lazy("unchanged rows"))
    def shown_unchanged(self, batch: FactBatch) -> str:
        return shown.count(batch.unchanged)

    @admin.display(description=gettext_lazy("rejected rows"))
    def shown_rejected(self, batch: FactBatch) -> SafeString | str:
        if not batch.rejected:
            return "0"
        return shown.badge(shown.count(batch.rejected), colour="warning")

    @admin.display(description=gettext_lazy("why rows were rejected"))
    def shown_reasons(self, batch: Any) -> SafeString | str:
        """Where the reasons are: only the job of an upload keeps them."""
        if not batch.rejected:
            return EMPTY
        if batch.job is not None:
            words = _("The job of the upload lists them.")
            return shown.link("segmentation_job_change", args=[batch.job.pk], text=words)
        return str(_REASONS_ARE_WITH[batch.source])


def _job_of(batch: FactBatch, *, jobs: QuerySet[Job]) -> Job | None:
    """The upload that recorded the batch, if this person may see it."""
    if batch.source != FactBatch.Source.ADMIN:
        return None
    asked: Mapping[str, Any] = {"kind": KIND, "requested_at__lte": batch.recorded_at}
    return jobs.filter(**asked, result__batches__contains=[batch.pk]).only("pk").first()


def _columns(kind: str, *, required: bool = False) -> str:
    columns = FACT_KINDS[kind].columns
    return ", ".join(column.name for column in columns if column.required == required)
