"""The history of one object: what changed, before and after, who did it, why and when.

Several sources are put in one order, newest first: the event tables that triggers write, replaced
versions of facts, wishes of the customer, and clicks. Apps above add sources of theirs with
`add_history`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from django.contrib.admin.models import LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from pghistory.models import Context

from segmentation.domain.row_numbers import row_number
from segmentation.permissions import hidden_words
from segmentation.queries.changes import changes, events_of, identity_field, readable_events

from . import shown
from .acts import record_hidden_looks, shown_acts
from .asking import AFTER, position, read_position
from .changes import ShownField, shown_changes
from .log_lines import told

_PAGE = 30
_CLICKED = _("Clicked")


@dataclass(frozen=True)
class Entry:
    """One line of a history. `address` leads to the act or the import that did it."""

    at: str
    what: str
    act: SafeString
    who: str
    why: Any = shown.EMPTY
    fields: Sequence[ShownField] = ()
    note: Any = ""
    address: str = ""


Show = Callable[[Sequence[Any], HttpRequest], Sequence[Entry]]


@dataclass(frozen=True)
class Source:
    """Rows about the object, the path of their time, and how a page of them is shown."""

    rows: QuerySet[Any]
    time: str
    show: Show


Sources = Callable[..., Iterable[Source]]
_added: dict[type[Model], list[Sources]] = {}


def add_history(*models: type[Model]) -> Callable[[Sources], Sources]:
    """The decorated function gives more sources for rows of these models: `sources(row, user=)`."""

    def add(sources: Sources) -> Sources:
        for model in models:
            _added.setdefault(model, []).append(sources)
        return sources

    return add


def keeps_history(model: type[Model]) -> bool:
    """Whether anything but clicks is kept about rows of this model."""
    return model in _added or events_of(model) is not None


def event_source(events: type[Model], *, user: Any, **narrow: Any) -> Source:
    """The rows of an event table that this user may see, narrowed to an object."""
    rows = readable_events(events, user=user).filter(**narrow)
    return Source(rows, "pgh_created_at", show_events)


def show_events(rows: Sequence[Any], request: HttpRequest) -> Sequence[Entry]:
    contexts = Context.objects.in_bulk({row.pgh_context_id for row in rows if row.pgh_context_id})
    acts = shown_acts(contexts.values(), request=request)
    found = []
    for row, change in zip(
        rows, shown_changes(changes(rows, user=request.user), request=request), strict=True
    ):
        act = acts.get(row.pgh_context_id)
        found.append(
            Entry(
                at=shown.instant(row.pgh_created_at),
                what=f"{change.kind}: {change.what}",
                act=change.act,
                who=act.who if act else _doer(row),
                why=act.why if act else shown.EMPTY,
                fields=change.fields,
                note=change.note,
                address=act.address if act else "",
            )
        )
    return found


def _doer(event: Any) -> str:
    """Who changed a row where no act is on record: the run that the row names, if it names one."""
    run = getattr(event, "run_id", None)
    return gettext("Run %(run)s") % {"run": run} if run else gettext("outside the application")


def _clicks(row: Any, *, user: Any, is_tracked: bool) -> Source:
    """What was clicked. A saved form of a tracked model is told by its changes already."""
    model = type(row)._meta.concrete_model
    assert model is not None
    entries = LogEntry.objects.filter(
        content_type=ContentType.objects.get_for_model(model), object_id=str(row.pk)
    ).select_related("user")
    if is_tracked:
        entries = entries.filter(
            ~Q(change_message__startswith="[") | Q(change_message__icontains="password")
        )
    return Source(entries, "action_time", _show_clicks)


def clicked_words(entry: LogEntry) -> str:
    """What was done, in the reader's language; the database stores our own words in English."""
    message = entry.get_change_message()
    return gettext(message) if message else shown.EMPTY


def _show_clicks(rows: Sequence[Any], request: HttpRequest) -> Sequence[Entry]:
    words = hidden_words(request.user)
    return [
        Entry(
            at=shown.instant(row.action_time),
            what=told(clicked_words(row), words=words),
            act=shown.badge(_CLICKED, colour="default"),
            who=row.user.get_username(),
        )
        for row in rows
    ]


def sources_of(row: Any, *, user: Any) -> tuple[Source, ...]:
    """Everything kept about the row that this user may see."""
    model = type(row)._meta.concrete_model
    assert model is not None
    events = events_of(model)
    own = []
    if events is not None:
        same = identity_field(events)
        if same is not None:
            value = row.pk if same == "pgh_obj_id" else getattr(row, same)
            own.append(event_source(events, user=user, **{same: value}))
    more = [source for sources in _added.get(model, ()) for source in sources(row, user=user)]
    return (*own, *more, _clicks(row, user=user, is_tracked=events is not None))


@dataclass(frozen=True)
class History:
    """A page of entries, newest first; `after` is where the next one starts, "" on the last."""

    entries: Sequence[Entry]
    after: str = ""


def history(row: Any, *, request: HttpRequest, after: str = "") -> History:
    """A page of the object's history, from all sources in one order."""
    start = read_position(after)
    sources = sources_of(row, user=request.user)
    found: list[tuple[datetime, int, int, Any]] = []
    for place, source in enumerate(sources):
        rows = source.rows if start is None else _older(source, place, *start)
        moment = attrgetter(source.time.replace("__", "."))
        newest = rows.order_by(f"-{source.time}", "-pk")[: _PAGE + 1]
        found += [(moment(each), -place, each.pk, each) for each in newest]
    found.sort(key=lambda item: item[:3], reverse=True)
    page = found[:_PAGE]
    ready: dict[tuple[int, int], Entry] = {}
    for place, source in enumerate(sources):
        own = [item[3] for item in page if item[1] == -place]
        if own:
            entries = source.show(own, request)
            ready |= {(place, row.pk): entry for row, entry in zip(own, entries, strict=True)}
    last = page[-1] if len(found) > _PAGE else None
    return History(
        [ready[-place, pk] for _at, place, pk, _row in page],
        position(last[0], f"{-last[1]}.{last[2]}") if last else "",
    )


def _older(source: Source, place: int, at: datetime, key: str) -> QuerySet[Any]:
    """Rows that come after the position in the order of the page."""
    first, _mark, last = key.partition(".")
    number, pk = row_number(first), row_number(last)
    if number is None or pk is None:
        return source.rows.none()
    older = Q(**{f"{source.time}__lt": at})
    if place > number:
        older |= Q(**{source.time: at})
    elif place == number:
        older |= Q(**{source.time: at}, pk__lt=pk)
    return source.rows.filter(older)


class HistoryPages:
    """The History page of an admin's rows; who may see the row may see what is kept about it, as
    far as the rights for each kind of change go."""

    model: type[Model]
    opts: Any
    admin_site: Any

    def heading(self, row: Any) -> str:
        """What the page of this row is called."""
        return str(row)

    def address_key(self, row: Any) -> Any:
        """What stands for the row in addresses."""
        return row.pk

    def history_address(self, row: Any) -> str:
        """Where the row's history is; "" when nothing is kept."""
        if not keeps_history(type(row)._meta.concrete_model):
            return ""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_history"
        return reverse(name, args=[self.address_key(row)])

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))  # type: ignore[attr-defined]
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):  # type: ignore[attr-defined]
            raise PermissionDenied
        self.note_look(row, request=request)
        after = request.GET.get(AFTER, "")
        found = history(row, request=request, after=after)
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        context = {
            "entries": found.entries,
            "next_url": f"?{AFTER}={found.after}" if found.after else "",
            "first_url": "?" if after else "",
            "object_url": reverse(name, args=[self.address_key(row)]),
        }
        return self.history_page(request, row, context)

    def note_look(self, row: Any, *, request: HttpRequest) -> None:
        """Write down that somebody looked at the row, where the row is hidden."""
        record_hidden_looks([row], request=request)

    def history_page(self, request: HttpRequest, row: Any, context: dict[str, Any]) -> HttpResponse:
        """The page; an admin whose rows have a frame of their own puts it there."""
        whole = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "kind_title": getattr(self, "kind_title", ""),
            "title": _("History"),
            "subtitle": self.heading(row),
            "heading": self.heading(row),
            **context,
        }
        return TemplateResponse(request, "admin/audit/history.html", whole)
