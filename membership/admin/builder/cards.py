"""Stars, folders and owners: small acts beside every definition."""

from __future__ import annotations

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from membership.services.draft_documents import KINDS, model_of
from segmentation.admin import shown
from segmentation.admin.builder.cards import star_button
from segmentation.domain.errors import TierwiseError
from segmentation.permissions import visible_lists, visible_segments
from segmentation.services.cards import (
    MAX_FOLDER,
    file_definition,
    filing,
    filing_state,
    folders,
    toggle_star,
)

from .context import viewer_of

FILE = "segmentation.change_card"


class FileForm(forms.Form):
    """Where a definition is filed and who answers for it."""

    folder = forms.CharField(
        label=_("Folder"), required=False, max_length=MAX_FOLDER, strip=True,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "folders"}),
        help_text=_("Choose one that exists or write a new one; empty: in no folder."),
    )  # fmt: skip
    owner = forms.ModelChoiceField(
        label=_("Owner"), required=False, queryset=User.objects.none(),
        widget=UnfoldAdminSelectWidget, help_text=_("Who answers for it."),
    )  # fmt: skip
    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=16)
    reason = forms.CharField(
        label=_("Reason"), max_length=1000, required=False, widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        staff = User.objects.filter(is_active=True, is_staff=True).order_by("username")
        cast("forms.ModelChoiceField[User]", self.fields["owner"]).queryset = staff


def definition_row(request: HttpRequest, kind: str, key: str) -> Any:
    """The definition; 404 if there is none, and alike if this person may not know of it."""
    user = viewer_of(request)
    rows: QuerySet[Any]
    if kind == "list":
        rows = visible_lists(user)
    elif kind == "segment":
        rows = visible_segments(user)
    elif kind in KINDS:
        rows = model_of(kind)._default_manager.all()
    else:
        raise Http404
    row = rows.filter(key=key).first()
    if row is None:
        raise Http404
    if not user.has_perm(f"{row._meta.app_label}.view_{row._meta.model_name}"):
        raise PermissionDenied
    return row


@require_POST
def star(request: HttpRequest, kind: str, key: str) -> HttpResponse:
    """Toggle the star; the button as it is now."""
    definition_row(request, kind, key)
    is_starred = toggle_star(kind, key, user=viewer_of(request))
    return HttpResponse(star_button(kind, key, is_starred=is_starred))


def file(request: HttpRequest, kind: str, key: str, *, site: AdminSite) -> HttpResponse:
    """The folder and owner of one definition."""
    row = definition_row(request, kind, key)
    user = viewer_of(request)
    if not user.has_perm(FILE):
        raise PermissionDenied
    filed = filing(kind, key, user=user)
    back = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    before = {
        "folder": filed.folder, "owner": filed.owner_id, "seen": filing_state(kind, key),
    }  # fmt: skip
    form = FileForm(request.POST or None, initial=before)
    if request.method == "POST" and form.is_valid():
        try:
            file_definition(
                kind, key, folder=form.cleaned_data["folder"], owner=form.cleaned_data["owner"],
                actor=user.get_username(), reason=form.cleaned_data["reason"],
                seen=form.cleaned_data["seen"] or None,
            )  # fmt: skip
        except TierwiseError as error:
            form.add_error(None, error.message)
            again = {"seen": filing_state(kind, key)}  # sent again, it overwrites
            form.data = {**dict(form.data.items()), **again}
        else:
            messages.success(request, gettext("Filed."))
            return HttpResponseRedirect(back)
    context = {
        **site.each_context(request),
        "title": gettext("Folder and owner"),
        "subtitle": None,
        "name": shown.label(row),
        "form": form,
        "folders": folders(kind, viewer=user),
        "back": back,
    }
    return TemplateResponse(request, "admin/builder/file.html", context)
