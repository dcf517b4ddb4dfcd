"""Who looked at hidden and personal data, and what customers asked for about theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from segmentation.models import AccessRecord, PrivacyRequest
from segmentation.permissions import (
    hidden_words,
    mentions_hidden,
    row_scope,
    visible_access,
    visible_customers,
)
from segmentation.services.export_access import SUBJECT_KINDS, looks_asked_for
from segmentation.services.privacy import erased_reference, is_reference

from . import shown
from .asking import PAGE, Answer, AskAdmin, PeriodForm, Question
from .base import EMPTY, ExactSearchAdmin, ReadOnlyAdmin
from .documents import as_yaml
from .exports import export_url
from .log_lines import RESTRICTED

_COLOURS: dict[str, str] = {
    AccessRecord.Kind.REVEAL: "warning",
    AccessRecord.Kind.EXPORT_PERSONAL: "danger",
    AccessRecord.Kind.EXPORT_HIDDEN: "danger",
    AccessRecord.Kind.EXPORT: "info",
    AccessRecord.Kind.VIEW_HIDDEN: "primary",
    AccessRecord.Kind.READ_HIDDEN: "primary",
}


def _select(choices: list[tuple[str, Any]], label: Any, first: Any) -> forms.ChoiceField:
    whole = [("", first), *choices]
    return forms.ChoiceField(
        label=label, required=False, choices=whole, widget=UnfoldAdminSelectWidget(choices=whole)
    )


class LooksForm(PeriodForm):
    """Looks at what, by whom, of which kind, when."""

    subject_kind = _select(list(SUBJECT_KINDS.items()), _("Kind of object"), _("Any"))
    subject = forms.CharField(
        label=_("Object"),
        required=False,
        max_length=300,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The whole key or customer ID, also of an erased customer"),
    )
    kind = _select(AccessRecord.Kind.choices, _("What they did"), _("Anything"))
    field_order = ("subject_kind", "subject", "person", "kind", "since", "until")


@admin.register(AccessRecord)
class LooksAdmin(AskAdmin, ReadOnlyAdmin):
    """Who looked at X: by object, by person, by kind and day."""

    form_class = LooksForm
    question = Question(
        _("Access to sensitive data"),
        intro=_(
            "Every look at a hidden segment or list, every customer opened, every reveal of phone "
            "and e-mail and every export is on record, also those through the API."
        ),
    )
    fields = (
        ("shown_at", "shown_kind", "shown_via"),
        ("actor", "address"),
        ("shown_subject", "shown_rows"),
        "shown_details",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[AccessRecord]:
        return visible_access(request.user)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """A reason, a page or a search may name what is hidden from the reader."""
        row = super().get_object(request, object_id, from_field)
        words = hidden_words(request.user)
        if row is not None and row.details and _names_hidden(row.details, words=words):
            row.details = {"details": str(RESTRICTED)}
        return row

    def heading(self, row: Any) -> str:
        return f"{row.get_kind_display()} · {shown.instant(row.at)}"

    def asked_question(self, request: HttpRequest) -> Question:
        asked = {name: request.GET.get(name, "") for name in self.form_class.base_fields}
        address = export_url("access", user=request.user, parameters=asked)
        buttons = ((address, _("Export")),) if address else ()
        return Question(self.question.title, self.question.intro, buttons=buttons)

    def answer(self, request: HttpRequest, asked: Mapping[str, Any], *, after: str) -> Answer:
        found = looks_asked_for(self.get_queryset(request), asked).order_by("-pk")
        if after.isdecimal() and len(after) < 19:
            found = found.filter(pk__lt=int(after))
        rows = list(found[: PAGE + 1])
        page = rows[:PAGE]
        words = hidden_words(request.user)
        cells = [
            (
                shown.link("segmentation_accessrecord_change", args=[row.pk], text=_time(row)),
                row.actor,
                self.shown_kind(row),
                self.shown_subject(row),
                self.shown_rows(row),
                _details(row, words=words),
                row.get_via_display(),
                row.address or EMPTY,
            )
            for row in page
        ]
        headers = (
            _("time"), _("by"), _("what they did"), _("object"), _("rows"), _("details"),
            _("through"), _("IP address"),
        )  # fmt: skip
        table = shown.Table(
            _("Looks"),
            headers,
            cells,
            empty=_("Nobody has looked, as far as this question goes."),
            numeric=frozenset({4}),
        )
        return Answer(table, str(page[-1].pk) if len(rows) > PAGE else "")

    @admin.display(description=_("time"))
    def shown_at(self, row: AccessRecord) -> str:
        return _time(row)

    @admin.display(description=_("what they did"))
    def shown_kind(self, row: AccessRecord) -> SafeString:
        return shown.badge(row.get_kind_display(), colour=_COLOURS.get(row.kind, "default"))

    @admin.display(description=_("through"))
    def shown_via(self, row: AccessRecord) -> str:
        return row.get_via_display()

    @admin.display(description=_("object"))
    def shown_subject(self, row: AccessRecord) -> SafeString:
        """The object; a click asks for everybody who looked at it."""
        kind, shown_key = SUBJECT_KINDS.get(row.subject_kind, row.subject_kind), row.subject_key
        if row.subject_kind == "customer" and is_reference(row.subject_key):
            shown_key = gettext("erased, %(mark)s") % {"mark": row.subject_key[-8:]}
        return format_html(
            '{} <a class="tw-link" href="?subject_kind={}&subject={}">{}</a>',
            kind, row.subject_kind, row.subject_key, shown_key,
        )  # fmt: skip

    @admin.display(description=_("rows"))
    def shown_rows(self, row: AccessRecord) -> str:
        return shown.count(row.rows)

    @admin.display(description=_("details"))
    def shown_details(self, row: AccessRecord) -> SafeString | str:
        return shown.code_block(as_yaml(row.details)) if row.details else EMPTY


def _names_hidden(value: Any, *, words: frozenset[str]) -> bool:
    """Whether a text anywhere in these details does; text by text, as they were written."""
    if isinstance(value, Mapping):
        return any(_names_hidden(each, words=words) for pair in value.items() for each in pair)
    if isinstance(value, list):
        return any(_names_hidden(each, words=words) for each in value)
    return mentions_hidden(str(value), words=words)


def _time(row: AccessRecord) -> str:
    return shown.instant(row.at)


_PAGES = {  # what was opened, where that has no address of its own
    "draft": _("Draft"),
    "preview": _("Preview"),
    "portrait": _("Portrait"),
    "publish": _("Publish"),
    "retire": _("Retire"),
}


def _details(row: AccessRecord, *, words: frozenset[str]) -> SafeString | str:
    """The reason somebody gave, or the page they opened."""
    reason, page = (str(row.details.get(name) or "") for name in ("reason", "page"))
    if mentions_hidden(reason or page, words=words):
        return str(RESTRICTED)
    if reason or page in _PAGES:
        return reason or str(_PAGES[page])
    return format_html("<code>{}</code>", page) if page else EMPTY


@admin.register(PrivacyRequest)
class PrivacyRequestAdmin(ExactSearchAdmin):
    """Wishes of customers about their data, the newest first. An erased one is no longer named."""

    list_display = (
        "receipt", "kind", "customer_ref", "actor", "via", "requested_at", "done_at",
    )  # fmt: skip
    list_filter = ("kind", "via")
    search_fields = ("receipt",)
    search_help_text = _("A whole receipt, or a customer's whole ID, also of an erased one")
    fields = (
        ("receipt", "kind"),
        ("customer_ref", "via"),
        ("actor", "requested_at", "done_at"),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        if row_scope(request.user) is None:
            return rows
        known = visible_customers(request.user).values("external_id")
        return rows.filter(customer_ref__in=known)

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(Q(receipt=term) | Q(customer_ref__in=[term, erased_reference(term)]))
