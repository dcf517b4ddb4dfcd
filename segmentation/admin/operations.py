"""The operations log: every act that changed something, with what it changed, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from pghistory.models import Context
from unfold.widgets import UnfoldAdminSelectWidget

from segmentation.domain.row_numbers import row_number
from segmentation.queries.changes import (
    MOST_COUNTED,
    ActsAsked,
    act,
    acts_page,
    changes,
    event_models,
    readable_events,
    readable_models,
)

from . import shown
from .acts import counted_words, record_hidden_looks, shown_acts
from .asking import (
    AFTER,
    PAGE,
    Answer,
    AskAdmin,
    PeriodForm,
    Question,
    answered,
    period,
    position,
    read_position,
)
from .base import ReadOnlyAdmin
from .changes import ShownChange, act_badge, kind_words, shown_changes

TABS = "operations"
_PER_TABLE = 50
OUTSIDE = Question(
    _("Changes outside the application"),
    intro=_(
        "Rows that were changed without an act of the application: by hand in the database, or by "
        "an upgrade. The database kept them all the same."
    ),
    tabs=TABS,
)


class ActsForm(PeriodForm):
    """Which acts: of whom, of what kind, when."""

    kind = forms.ChoiceField(label=_("What changed"), required=False, choices=())
    field_order = ("person", "kind", "since", "until")

    def __init__(self, *args: Any, kinds: list[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["kind"]
        choices = [("", _("Everything")), *kinds]
        field.choices = choices  # type: ignore[attr-defined]
        field.widget = UnfoldAdminSelectWidget(choices=choices)


@dataclass(frozen=True)
class ChangedTable:
    """What one act did to one table: a page of its changes. `next_url` leads to more of them."""

    title: str
    rows: Sequence[Any]
    changes: list[ShownChange]
    next_url: str = ""


@admin.register(Context)
class OperationsAdmin(AskAdmin, ReadOnlyAdmin):
    """Everybody reads the acts that changed what they may read the history of."""

    form_class = ActsForm
    question = Question(
        _("Operations log"),
        intro=_(
            "Each line is one act: everything that one page, command, run or call changed "
            "together. Open it to see every field before and after."
        ),
        tabs=TABS,
    )

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(readable_models(request.user))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        outside = self.admin_site.admin_view(self.outside_view)
        own = [path("outside/", outside, name="pghistory_context_outside")]
        return [*own, *super().get_urls()]

    def asking_form(self, request: HttpRequest) -> forms.Form:
        kinds = sorted(
            ((each._meta.label_lower, kind_words(each)) for each in readable_models(request.user)),
            key=lambda pair: pair[1],
        )
        return ActsForm(request.GET or None, kinds=kinds)

    def answer(self, request: HttpRequest, asked: Mapping[str, Any], *, after: str) -> Answer:
        since, until = period(asked)
        wanted = ActsAsked(
            person=asked.get("person", ""), kind=asked.get("kind", ""), since=since, until=until
        )
        start = _act_position(after)
        page = acts_page(request.user, wanted, after=start, limit=PAGE)
        lines = shown_acts([each.context for each in page.acts], request=request)
        cells = [
            (
                shown.link("pghistory_context_change", args=[pk], text=lines[pk].at),
                lines[pk].who,
                counted_words(each.counts),
                lines[pk].why,
                lines[pk].via,
            )
            for each in page.acts
            for pk in [each.context.pk]
        ]
        headers = (_("time"), _("by"), _("what changed"), _("reason"), _("through"))
        table = shown.Table(
            _("Acts"), headers, cells, empty=_("No act fits this question."), note=_real_time()
        )
        return Answer(table, position(*page.after) if page.after else "")

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """One act with everything it changed that this reader may see; 404 when that is nothing."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        pk = _uuid(object_id)
        found = act(request.user, pk) if pk else None
        if found is None:
            raise Http404
        tables = [
            table
            for each in found.counts
            if (table := _changed(each.events, found.context, request=request)).changes
        ]
        record_hidden_looks([row for table in tables for row in table.rows], request=request)
        context = {
            **self.admin_site.each_context(request),
            "title": _("Operations log"),
            "act": shown_acts([found.context], request=request)[found.context.pk],
            "tables": tables,
        }
        return TemplateResponse(request, "admin/audit/act.html", context)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        raise Http404  # an act is history itself

    def outside_view(self, request: HttpRequest) -> HttpResponse:
        """Changes that no act of the application made."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        start = read_position(request.GET.get(AFTER, ""))
        rows = []
        for place, each in enumerate(event_models()):
            found = readable_events(each, user=request.user).filter(pgh_context=None)
            if start is not None:
                found = _older_events(found, place, *start)
            rows += [
                (row, place) for row in found.order_by("-pgh_created_at", "-pgh_id")[: PAGE + 1]
            ]
        rows.sort(key=lambda pair: (pair[0].pgh_created_at, -pair[1], pair[0].pgh_id), reverse=True)
        page = rows[:PAGE]
        words = _words([row for row, _place in page], request=request)
        cells = [
            (
                shown.instant(row.pgh_created_at),
                kind_words(type(row)),
                act_badge(row.pgh_label),
                words[type(row), row.pk],
            )
            for row, _place in page
        ]
        headers = (_("time"), _("kind"), _("act"), _("what"))
        table = shown.Table(OUTSIDE.title, headers, cells, empty=_("There was none."))
        after = ""
        if len(rows) > PAGE:
            row, place = page[-1]
            after = position(row.pgh_created_at, f"{place}.{row.pgh_id}")
        return answered(request, OUTSIDE, Answer(table, after), form=None, site=self.admin_site)


def _words(rows: list[Any], *, request: HttpRequest) -> dict[tuple[type[Model], int], str]:
    """What each changed object is called: a few queries for each table."""
    found: dict[tuple[type[Model], int], str] = {}
    for model in {type(row) for row in rows}:
        own = [row for row in rows if type(row) is model]
        told = shown_changes(changes(own, user=request.user), request=request)
        found |= {(model, row.pk): each.what for row, each in zip(own, told, strict=True)}
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _act_position(text: str) -> tuple[datetime, UUID] | None:
    start = read_position(text)
    pk = _uuid(start[1]) if start else None
    return (start[0], pk) if start and pk else None


def _older_events(found: QuerySet[Any], place: int, at: Any, key: str) -> QuerySet[Any]:
    """Rows of the table at `place` that come after the position in the order of the page."""
    first, _mark, last = key.partition(".")
    number, pgh_id = row_number(first), row_number(last)
    if number is None or pgh_id is None:
        return found.none()
    older = Q(pgh_created_at__lt=at)
    if place > number:
        older |= Q(pgh_created_at=at)
    elif place == number:
        older |= Q(pgh_created_at=at, pgh_id__lt=pgh_id)
    return found.filter(older)


def _changed(events: type[Model], act: Context, *, request: HttpRequest) -> ChangedTable:
    """A page of what the act did to one table, in the order in which it happened."""
    name = str(events._meta.model_name)
    rows = readable_events(events, user=request.user).filter(pgh_context=act.pk)
    start = request.GET.get(name, "")
    if start.isdecimal() and len(start) < 19:
        rows = rows.filter(pgh_id__gt=int(start))
    found = list(rows.order_by("pgh_id")[: _PER_TABLE + 1])
    page = found[:_PER_TABLE]
    return ChangedTable(
        title=kind_words(events),
        rows=page,
        changes=shown_changes(changes(page, user=request.user), request=request),
        next_url=f"?{name}={page[-1].pgh_id}" if len(found) > _PER_TABLE else "",
    )


def _real_time() -> Any:
    return _(
        "Real time, also while the sample clock is set; at most %(most)s rows are counted."
    ) % {"most": shown.count(MOST_COUNTED)}
