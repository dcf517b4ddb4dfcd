"""Exporting from any page: a button, a form that says what will be exported, and a job.

A list passes its filter and search ("select all" of a million rows is a query string); a page
passes what it is about. `ExportButtonMixin` puts the button above a list; anything else links to
`export_url(source, user=..., parameters={"key": ...})`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from django import forms
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldBooleanSwitchWidget

from config import clock
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.permissions import EXPORT_PERSONAL
from segmentation.services.exporting import (
    ExportColumn,
    ExportScope,
    ExportSource,
    export_scope,
    export_source,
    may_export,
    request_export,
)
from segmentation.services.jobs import new_key
from segmentation.services.wording import listed

from . import shown
from .looking import looker


class ExportForm(forms.Form):
    """How to export; what to export stands in the address."""

    file_format = forms.ChoiceField(
        label=gettext_lazy("Format"),
        choices=[
            ("xlsx", gettext_lazy("XLSX, for spreadsheets: ids and phones keep their digits")),
            ("csv", gettext_lazy("CSV, for programs and very long lists")),
        ],
        initial="xlsx",
        widget=UnfoldAdminRadioSelectWidget,
    )
    with_personal = forms.BooleanField(
        label=gettext_lazy("With personal columns"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
    )
    key = forms.CharField(widget=forms.HiddenInput, max_length=100)

    def __init__(
        self, *args: Any, personal: Sequence[ExportColumn], may_personal: bool, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        if not (personal and may_personal):
            del self.fields["with_personal"]
        else:
            self.fields["with_personal"].help_text = listed(each.title for each in personal)


@dataclass(frozen=True)
class Preview:
    """What an export would have, for the person to check before asking for it."""

    title: str
    about: str
    is_hidden: bool
    size: str
    columns: str
    heading: Sequence[tuple[str, str]]


class ExportViews:
    """The form's address, below that of jobs."""

    admin_site: AdminSite
    opts: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.export_view)
        found: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [path("export/<str:source>/", view, name="segmentation_job_export"), *found]

    def export_view(self, request: HttpRequest, source: str) -> HttpResponse:
        """Says what would be exported and asks how. Sent twice, the form makes one job."""
        user = request.user
        assert isinstance(user, User)  # behind the log-in
        try:
            chosen = export_source(source)
        except NotFoundError:
            raise Http404 from None
        if not may_export(user, chosen):
            raise PermissionDenied
        parameters = chosen.parameters_of(dict(request.GET.lists()))
        problems: Sequence[str] = ()
        scope = form = None
        try:
            scope = export_scope(chosen, parameters=parameters, user=user, now=clock.real_now())
            form = _form(request, chosen, scope)
            if request.method == "POST" and form.is_valid():
                job = request_export(
                    source,
                    parameters=parameters,
                    file_format=form.cleaned_data["file_format"],
                    with_personal=form.cleaned_data.get("with_personal", False),
                    user=user,
                    looker=looker(request),
                    key=form.cleaned_data["key"],
                    now=clock.real_now(),
                )
                return HttpResponseRedirect(reverse("admin:segmentation_job_change", args=[job.pk]))
        except NotFoundError:
            raise Http404 from None
        except TierwiseError as error:
            if error.code == "forbidden":
                raise PermissionDenied from None
            problems = [problem.message for problem in error.problems] or [error.message]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Export: %(what)s") % {"what": chosen.title},
            "form": form,
            "preview": _preview(chosen, scope) if scope else None,
            "problems": problems,
        }
        return TemplateResponse(request, "admin/jobs/export.html", context)


def _form(request: HttpRequest, source: ExportSource, scope: ExportScope) -> ExportForm:
    return ExportForm(
        request.POST or None,
        initial={"key": new_key()},
        personal=[column for column in source.columns(scope) if column.is_personal],
        may_personal=request.user.has_perm(EXPORT_PERSONAL),
    )


def _preview(source: ExportSource, scope: ExportScope) -> Preview:
    return Preview(
        title=str(source.title),
        about=source.about(scope),
        is_hidden=source.is_hidden(scope.parameters),
        size=shown.count(source.size(scope)),
        columns=listed(column.title for column in source.columns(scope) if not column.is_personal),
        heading=[(name, _cell(value)) for name, value in source.heading(scope)],
    )


def _cell(value: Any) -> str:
    return shown.instant(value) if hasattr(value, "astimezone") else str(value)


def export_url(source: str, *, user: Any, parameters: Mapping[str, Any] | None = None) -> str:
    """The address of the form, with what the page is about; "" when this person may not export."""
    if not may_export(user, export_source(source)):
        return ""
    address = reverse("admin:segmentation_job_export", args=[source])
    given = {name: value for name, value in (parameters or {}).items() if value not in (None, "")}
    return f"{address}?{urlencode(given, doseq=True)}" if given else address


class ExportButtonMixin:
    """A list with the button *Export* above it; the list's filter and search go along.

    Set `export_source`. A list with a template of its own includes
    `admin/jobs/export_button.html` where the button shall stand.
    """

    export_source: ClassVar[str]
    change_list_template: ClassVar[Any] = "admin/jobs/exportable_list.html"

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        query = dict(request.GET.lists())
        address = export_url(self.export_source, user=request.user, parameters=query)
        found: HttpResponse = super().changelist_view(  # type: ignore[misc]
            request, {**(extra_context or {}), "export_url": address}
        )
        return found
