"""The promotion calendar: its list, and the form of one promotion."""

from __future__ import annotations

import re
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db import IntegrityError
from django.db.models import DateTimeField, QuerySet, Value
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from config import clock
from segmentation.domain.errors import TierwiseError
from segmentation.domain.windows import local_day
from segmentation.models import PromotionEvent
from segmentation.services.overtaken import refuse_overtaken, state_of
from segmentation.services.promotion_calendar import overlapping

from . import shown
from .base import EMPTY, TierwiseAdmin

_KEY = re.compile(r"[a-z][a-z0-9_]{0,63}")
_NAMED = (
    "label_en", "label_zh_hans", "kind", "timezone", "starts_on", "ends_on", "after_days",
    "freeze_from", "freeze_until", "note",
)  # fmt: skip
_GUARDED = frozenset({"kind", "starts_on", "ends_on", "freeze_from", "freeze_until"})
_MOST_AFTER = 366
_YEARS = range(1970, 2200)


class PromotionForm(forms.ModelForm[PromotionEvent]):
    """The dates as people say them: first and last day included."""

    seen = forms.CharField(label="", widget=forms.HiddenInput, required=False, max_length=16)

    class Meta:
        model = PromotionEvent
        fields = ("key", *_NAMED)
        help_texts = {
            "key": gettext_lazy(
                "Names the promotion for good: lower case letters, digits and “_”, such as "
                "double11_2018."
            ),
            "kind": gettext_lazy(
                "What comes again under the same word, such as double11. A run in this promotion "
                "is compared with the last one of its kind."
            ),
            "ends_on": gettext_lazy("Still part of the promotion."),
            "after_days": gettext_lazy(
                "How many days behind the last one still differ from what is usual."
            ),
            "freeze_from": gettext_lazy(
                "From this day to the last frozen one nothing is published without an override. "
                "Nightly runs go on. Empty: nothing is frozen."
            ),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "note" in self.fields:
            self.fields["note"].widget.attrs["rows"] = 3
        if self.instance.pk:
            self.fields["seen"].initial = state_of(self.instance, _NAMED)
        elif "timezone" in self.fields:
            self.fields["timezone"].initial = settings.TIME_ZONE

    def clean_key(self) -> str:
        return _word(self.cleaned_data["key"])

    def clean_kind(self) -> str:
        return _word(self.cleaned_data["kind"])

    def clean_timezone(self) -> str:
        name: str = self.cleaned_data["timezone"]
        if name not in available_timezones():
            raise forms.ValidationError(
                _("There is no such time zone; write one as Asia/Shanghai.")
            )
        return name

    def clean_after_days(self) -> int:
        days: int = self.cleaned_data["after_days"]
        if days > _MOST_AFTER:
            raise forms.ValidationError(_("At most %(most)s days.") % {"most": _MOST_AFTER})
        return days

    def _get_validation_exclusions(self) -> set[str]:
        """What constraints guard is said in our words, not in theirs."""
        found: set[str] = super()._get_validation_exclusions()  # type: ignore[misc]
        return found | _GUARDED

    def clean(self) -> dict[str, Any]:
        super().clean()
        asked = self.cleaned_data
        for name in ("starts_on", "ends_on", "freeze_from", "freeze_until"):
            day = asked.get(name)
            if day is not None and day.year not in _YEARS:
                self.add_error(name, _("Write a day of the years 1970 to 2199."))
        self._order("starts_on", "ends_on")
        if bool(asked.get("freeze_from")) != bool(asked.get("freeze_until")):
            missing = "freeze_until" if asked.get("freeze_from") else "freeze_from"
            self.add_error(missing, _("A freeze needs its first and its last day."))
        self._order("freeze_from", "freeze_until")
        if not self.errors:
            self._refuse_overlap()
            self._refuse_overtaken()
        return asked

    def _order(self, first: str, last: str) -> None:
        since, until = self.cleaned_data.get(first), self.cleaned_data.get(last)
        if since and until and since > until:
            self.add_error(last, _("The last day lies before the first."))

    def _refuse_overlap(self) -> None:
        asked = self.cleaned_data
        wanted = PromotionEvent(
            pk=self.instance.pk,
            kind=asked["kind"],
            starts_on=asked["starts_on"],
            ends_on=asked["ends_on"],
        )
        other = overlapping(wanted).first()
        if other is not None:
            message = _("It shares days with “%(name)s” (%(days)s), which is of the same kind.")
            self.add_error(
                "starts_on", message % {"name": shown.label(other), "days": days_words(other)}
            )

    def _refuse_overtaken(self) -> None:
        if self.instance.pk is None:
            return
        row = PromotionEvent.objects.select_for_update().filter(pk=self.instance.pk).first()
        if row is None:
            raise forms.ValidationError(_("Somebody removed this promotion meanwhile."))
        try:
            refuse_overtaken(row, seen=self.cleaned_data.get("seen") or None, fields=_NAMED)
        except TierwiseError as error:
            sent: Any = self.data.copy()  # type: ignore[attr-defined]
            sent[self.add_prefix("seen")] = state_of(row, _NAMED)
            self.data = sent
            raise forms.ValidationError(error.message) from error


def _word(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise forms.ValidationError(
            _("Use lower case letters, digits and “_”, beginning with a letter.")
        )
    return text


def days_words(row: PromotionEvent) -> str:
    """First and last day."""
    return _span(row.starts_on, row.ends_on)


def _span(first: date, last: date) -> str:
    if first == last:
        return first.isoformat()
    return _("%(first)s to %(last)s") % {"first": first.isoformat(), "last": last.isoformat()}


@admin.register(PromotionEvent)
class PromotionAdmin(TierwiseAdmin):
    """Promotions, the newest first."""

    actions = None
    kind_title = gettext_lazy("Promotion calendar")
    form = PromotionForm
    list_display = (
        "name", "kind", "shown_days", "shown_after", "shown_freeze", "shown_state",
    )  # fmt: skip
    list_filter = ("kind", "starts_on")
    sortable_by = ()
    nothing_yet = gettext_lazy(
        "Enter the promotions that come again each year. In one of them the size breaker compares "
        "a run with the same day of the last one, and publishing can be frozen."
    )
    fieldsets = (
        (None, {"fields": ("key", ("label_en", "label_zh_hans"), "kind", "seen")}),
        (
            gettext_lazy("Days"),
            {"fields": (("starts_on", "ends_on"), ("after_days", "timezone"))},
        ),
        (
            gettext_lazy("No publishing"),
            {"fields": (("freeze_from", "freeze_until"), "note")},
        ),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[PromotionEvent]:
        """The project's clock is read once for all rows."""
        now = Value(clock.now(), output_field=DateTimeField())
        rows: QuerySet[PromotionEvent] = super().get_queryset(request)
        return rows.annotate(shown_now=now)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Findings of runs name a promotion by its key."""
        return ("key",) if obj is not None else ()

    def heading(self, row: Any) -> str:
        return f"{shown.label(row)} · {days_words(row)}"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except IntegrityError:  # two people saved the same days at the same moment
            messages.error(request, _("Somebody entered an overlapping promotion meanwhile."))
            return HttpResponseRedirect(request.path)

    @admin.display(description=gettext_lazy("name"))
    def name(self, row: PromotionEvent) -> str:
        return shown.label(row)

    @admin.display(description=gettext_lazy("dates"))
    def shown_days(self, row: PromotionEvent) -> SafeString:
        count = (row.ends_on - row.starts_on).days + 1
        number = ngettext("%(count)s day", "%(count)s days", count) % {"count": count}
        return format_html("{} ({})", days_words(row), number)

    @admin.display(description=gettext_lazy("after-effect"))
    def shown_after(self, row: PromotionEvent) -> str:
        if not row.after_days:
            return EMPTY
        return ngettext("%(count)s day", "%(count)s days", row.after_days) % {
            "count": row.after_days
        }

    @admin.display(description=gettext_lazy("publishing is frozen"))
    def shown_freeze(self, row: PromotionEvent) -> SafeString | str:
        if row.freeze_from is None or row.freeze_until is None:
            return EMPTY
        words = _span(row.freeze_from, row.freeze_until)
        if row.freeze_from <= _today(row) <= row.freeze_until:
            return format_html("{} {}", words, shown.badge(_("Frozen now"), colour="warning"))
        return words

    @admin.display(description=gettext_lazy("state"))
    def shown_state(self, row: PromotionEvent) -> SafeString:
        today = _today(row)
        if today < row.starts_on:
            return shown.badge(_("To come"), colour="info")
        if today <= row.ends_on:
            return shown.badge(_("Going on"), colour="success")
        return shown.badge(_("Over"), colour="default")


def _today(row: Any) -> date:
    return local_day(row.shown_now, ZoneInfo(row.timezone))
