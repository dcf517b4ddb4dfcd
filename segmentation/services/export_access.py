"""Export of the access log: who looked at what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import TierwiseError
from segmentation.domain.windows import local_midnight
from segmentation.models import AccessRecord
from segmentation.permissions import (
    hidden_words,
    may_see_hidden,
    mentions_hidden,
    visible_access,
)

from .exporting import ExportColumn, ExportScope, ExportSource, register_source
from .privacy import erased_reference
from .spreadsheets import Cell, Row
from .wording import listed, named

_PORTION = 2000
SUBJECT_KINDS = {
    "segment": gettext_lazy("Segment"),
    "list": gettext_lazy("List"),
    "customer": gettext_lazy("Customer"),
    "draft": gettext_lazy("Draft"),
    "layer": gettext_lazy("Layer"),
    "tier": gettext_lazy("Tier"),
    "metric": gettext_lazy("Metric"),
    "run": gettext_lazy("Run"),
    "rows": gettext_lazy("List of rows"),
    "job": gettext_lazy("Job"),
}
# What can be asked for, as the page calls it.
_ASKED = {
    "subject_kind": gettext_lazy("Kind of object"),
    "subject": gettext_lazy("Object"),
    "person": gettext_lazy("Person"),
    "kind": gettext_lazy("What they did"),
    "since": gettext_lazy("First day"),
    "until": gettext_lazy("Last day"),
}


def looks_asked_for(
    records: QuerySet[AccessRecord], asked: Mapping[str, Any]
) -> QuerySet[AccessRecord]:
    """Looks at a whole `subject` key (or `kind:key`), by a `person`, of a `kind`, between the
    local days `since` and `until`, both included. What is left out narrows nothing.

    A customer's ID also finds the looks from before an erasure, which no longer name it."""
    subject = str(asked.get("subject") or "").strip()
    subject_kind = str(asked.get("subject_kind") or "")
    if subject:
        wanted = Q(subject_key=subject)
        kind, colon, key = subject.partition(":")
        if colon:
            wanted |= Q(subject_kind=kind, subject_key=key)
        erased = {subject, key} if kind == "customer" else {subject}
        references = [erased_reference(each) for each in erased]
        wanted |= Q(subject_kind="customer", subject_key__in=references)
        records = records.filter(wanted)
    if subject_kind:
        records = records.filter(subject_kind=subject_kind)
    person = str(asked.get("person") or "").strip()
    if person:
        ids = list(User.objects.filter(username=person).values_list("pk", flat=True))
        records = records.filter(Q(actor=person) | Q(user_id__in=ids))
    if asked.get("kind"):
        records = records.filter(kind=asked["kind"])
    if asked.get("since"):
        records = records.filter(at__gte=_midnight(asked["since"]))
    if asked.get("until"):
        records = records.filter(at__lt=_midnight(asked["until"], later=1))
    return records


def _midnight(day: date, *, later: int = 0) -> datetime:
    return local_midnight(day + timedelta(days=later), ZoneInfo(settings.TIME_ZONE))


@register_source
class AccessLog(ExportSource):
    """Parameters: those of `looks_asked_for`, days as ISO dates."""

    name = "access"
    title = gettext_lazy("Access to sensitive data")
    permissions = ("segmentation.view_accessrecord",)
    is_evidence = True

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        kept = {name: str(scope.parameters.get(name) or "").strip() for name in _ASKED}
        _read(kept)
        return {name: text for name, text in kept.items() if text}

    def about(self, scope: ExportScope) -> str:
        values: Mapping[str, Mapping[str, Any]] = {
            "subject_kind": SUBJECT_KINDS,
            "kind": dict(AccessRecord.Kind.choices),
        }
        return listed(
            named(title, values.get(name, {}).get(asked, asked))
            for name, title in _ASKED.items()
            if (asked := str(scope.parameters.get(name) or ""))
        )

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        if may_see_hidden(scope.user):
            return ()
        return [(_("Left out"), _("looks at what is hidden from you"))]

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        return (
            ExportColumn("at", _("Time")),
            ExportColumn("actor", _("By")),
            ExportColumn("kind", _("What they did")),
            ExportColumn("subject_kind", _("Kind of object")),
            ExportColumn("subject_key", _("Object")),
            ExportColumn("rows", _("Rows")),
            ExportColumn("reason", _("Reason")),
            ExportColumn("via", _("Through")),
            ExportColumn("address", _("IP address")),
        )

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        found = looks_asked_for(visible_access(scope.user), _read(scope.parameters))
        words = hidden_words(scope.user)
        for row in found.order_by("pk").iterator(_PORTION):
            yield (
                row.at,
                row.actor,
                row.get_kind_display(),
                str(SUBJECT_KINDS.get(row.subject_kind, row.subject_kind)),
                row.subject_key,
                row.rows,
                _told(str(row.details.get("reason") or ""), words=words),
                row.get_via_display(),
                row.address or "",
            )


def _told(reason: str, *, words: frozenset[str]) -> str:
    if mentions_hidden(reason, words=words):
        return _("Details are restricted.")
    return reason


def _read(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters with days as days. Errors: `bad_filter`."""
    asked = dict(parameters)
    for name in ("since", "until"):
        if asked.get(name):
            try:
                asked[name] = date.fromisoformat(str(asked[name]))
                _midnight(asked[name], later=1)
            except (ValueError, OverflowError):
                message = _("This selection cannot be exported.")
                raise TierwiseError(message, code="bad_filter") from None
    return asked
