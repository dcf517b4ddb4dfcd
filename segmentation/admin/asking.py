"""Pages that answer a question about the past: a form above, rows below, no totals.

A page starts where the last one ended; the position stands in the address as `after`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime, timedelta
from typing import Any, ClassVar
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from segmentation.domain.windows import local_midnight

from . import shown

PAGE = 50
AFTER = "after"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class DayInput(UnfoldAdminTextInputWidget):  # type: ignore[misc]
    """The browser's own calendar."""

    input_type = "date"

    def format_value(self, value: Any) -> str | None:
        return value.isoformat() if isinstance(value, date) else super().format_value(value)


class PeriodForm(forms.Form):
    """Who, and between which local days; each may be left open."""

    person = forms.CharField(
        label=_("Person"),
        required=False,
        max_length=150,
        widget=UnfoldAdminTextInputWidget,
        help_text=_("The whole user name"),
    )
    since = forms.DateField(label=_("First day"), required=False, widget=DayInput)
    until = forms.DateField(label=_("Last day"), required=False, widget=DayInput)

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        for name in ("since", "until"):
            day = asked.get(name)
            if day is not None and not MINYEAR < day.year < MAXYEAR:  # no time zone has them whole
                self.add_error(name, self.fields[name].error_messages["invalid"])
        since, until = asked.get("since"), asked.get("until")
        if since and until and since > until:
            self.add_error("until", _("The last day lies before the first."))
        return asked


def period(asked: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """The start of the first day and the end of the last, in the project's zone."""
    zone = ZoneInfo(settings.TIME_ZONE)
    since, until = asked.get("since"), asked.get("until")
    return (
        local_midnight(since, zone) if since else None,
        local_midnight(until + timedelta(days=1), zone) if until else None,
    )


@dataclass(frozen=True)
class Answer:
    """One page of rows; `after` is the position of the next, "" on the last."""

    table: shown.Table
    after: str = ""


@dataclass(frozen=True)
class Question:
    """What an asking page needs beside its rows; `tabs` names its row of tabs in navigation."""

    title: str | Promise
    intro: str | Promise = ""
    tabs: str = ""
    buttons: Sequence[tuple[str, str | Promise]] = ()  # address and words


def answered(
    request: HttpRequest, question: Question, answer: Answer, *, form: forms.Form | None, site: Any
) -> HttpResponse:
    """The page."""
    kept = {name: values for name, values in request.GET.lists() if name != AFTER and any(values)}
    context = {
        **site.each_context(request),
        "title": question.title,
        "question": question,
        "form": form,
        "table": answer.table,
        "first_url": f"?{urlencode(kept, doseq=True)}" if request.GET.get(AFTER) else "",
        "next_url": f"?{urlencode({**kept, AFTER: answer.after}, doseq=True)}"
        if answer.after
        else "",
        "is_asked": bool(kept),
    }
    return TemplateResponse(request, "admin/audit/ask.html", context)


class AskAdmin:
    """The list of a model as a question; combine with a read-only admin page."""

    question: ClassVar[Question]
    form_class: ClassVar[type[forms.Form]] = PeriodForm
    admin_site: Any

    def asking_form(self, request: HttpRequest) -> forms.Form:
        return self.form_class(request.GET or None)

    def answer(self, request: HttpRequest, asked: Mapping[str, Any], *, after: str) -> Answer:
        raise NotImplementedError

    def asked_question(self, request: HttpRequest) -> Question:
        """The question with what depends on the request: its buttons."""
        return self.question

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        form = self.asking_form(request)
        is_empty = not form.is_bound
        if is_empty or form.is_valid():
            asked = {} if is_empty else form.cleaned_data
            found = self.answer(request, asked, after=request.GET.get(AFTER, ""))
        else:
            found = Answer(shown.Table(self.question.title, (), ()))
        question = self.asked_question(request)
        return answered(request, question, found, form=form, site=self.admin_site)


def position(at: datetime, key: object) -> str:
    """A place in an order of (time, key)."""
    return f"{(at - _EPOCH) // _MICROSECOND}_{key}"


def read_position(text: str) -> tuple[datetime, str] | None:
    """The time and key of a place; None for what is none."""
    micros, _mark, key = text.partition("_")
    try:
        return _EPOCH + int(micros) * _MICROSECOND, key
    except (ValueError, OverflowError):
        return None
