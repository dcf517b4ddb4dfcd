"""Forms of customer lists: making one, naming it, filling it, retiring it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from segmentation.domain.definitions import Label
from segmentation.services.customer_lists import LONGEST_LABEL

MODES = (
    ("replace", _("Replace: the list becomes what the file says")),
    ("add", _("Add: customers of the file join the list")),
    ("remove", _("Remove: customers of the file leave the list")),
)
_FILE_HELP = _(
    "A CSV in UTF-8 with a column customer_id, or one customer ID per line. Unknown and repeated "
    "IDs are left out and reported."
)


class NamedForm(forms.Form):
    """Both names and what the list is for."""

    label_en = forms.CharField(
        label=_("English name"), max_length=LONGEST_LABEL, widget=UnfoldAdminTextInputWidget
    )
    label_zh_hans = forms.CharField(
        label=_("Chinese name"), max_length=LONGEST_LABEL, widget=UnfoldAdminTextInputWidget
    )
    note = forms.CharField(
        label=_("What it is for"),
        required=False,
        max_length=2000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )
    reason = forms.CharField(
        label=_("Reason"),
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("For the history."),
    )

    @property
    def label(self) -> Label:
        """The names that were asked for."""
        return Label(self.cleaned_data["label_en"], self.cleaned_data["label_zh_hans"])


class EditForm(NamedForm):
    """The same of a list that exists; `seen` is what was there when the form was opened."""

    seen = forms.CharField(widget=forms.HiddenInput, required=False, max_length=16)


class SaveForm(NamedForm):
    """A new list under its key."""

    key = forms.CharField(
        label=_("Key"),
        max_length=64,
        widget=UnfoldAdminTextInputWidget(attrs={"autocomplete": "off"}),
        help_text=_("Rules name the list by it: lower case letters, digits and “_”."),
    )
    request_key = forms.CharField(widget=forms.HiddenInput, max_length=100)
    field_order: tuple[str, ...] = ("key", "label_en", "label_zh_hans", "note", "reason")


class NewListForm(SaveForm):
    """A new list from nothing or from a file."""

    is_hidden = forms.BooleanField(
        label=_("Restricted"),
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text=_("Only named roles know of it. This can't be changed later."),
    )
    file = forms.FileField(
        label=_("File"), required=False, widget=UnfoldAdminFileFieldWidget, help_text=_FILE_HELP
    )
    field_order = ("key", "label_en", "label_zh_hans", "note", "is_hidden", "file", "reason")

    def __init__(self, *args: Any, may_hide: bool, may_fill: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not may_hide:
            del self.fields["is_hidden"]
        if not may_fill:
            del self.fields["file"]


class UploadForm(forms.Form):
    """A file for a list that exists."""

    mode = forms.ChoiceField(
        label=_("What to do with it"),
        choices=MODES,
        initial="add",
        widget=UnfoldAdminRadioSelectWidget,
    )
    file = forms.FileField(label=_("File"), widget=UnfoldAdminFileFieldWidget, help_text=_FILE_HELP)
    reason = forms.CharField(
        label=_("Reason"), required=False, max_length=1000, widget=UnfoldAdminTextInputWidget
    )
    request_key = forms.CharField(widget=forms.HiddenInput, max_length=100)


class RetireForm(forms.Form):
    """Why a list is retired."""

    reason = forms.CharField(
        label=_("Reason"), max_length=1000, widget=UnfoldAdminTextareaWidget(attrs={"rows": 2})
    )
