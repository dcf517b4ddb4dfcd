"""Changes that database triggers kept: those of one act together, and what each row was before.

An act is a context of pghistory: everything that one request, command, job or run changed, with its
actor and reason. Times are the real clock's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import pghistory.core
from django.contrib.auth import get_user_model
from django.contrib.postgres.expressions import ArraySubquery
from django.db import connection, transaction
from django.db.models import Exists, F, Model, OuterRef, Q, QuerySet, Subquery
from pghistory.models import Context

from segmentation.permissions import Viewer, history_permission, visible_history

MOST_COUNTED = 1000  # rows of one table in one act; above it says "and more"
MOST_LOOKED_AT = 2000  # acts for one page


@dataclass(frozen=True, slots=True)
class Change:
    """One row of a tracked table that came, changed or went.

    `before` is None for a row that came, and for the first kept change of one whose coming is not
    kept (memberships: their entry is a transition). `after` is None for one that went.
    """

    event: Any
    before: Any
    after: Any

    @property
    def act(self) -> str:
        """`insert`, `update` or `delete`."""
        return str(self.event.pgh_label)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many rows of one table an act added, changed and removed; `is_cut` at MOST_COUNTED."""

    events: type[Model]
    by_act: Mapping[str, int]
    is_cut: bool


def event_models() -> tuple[type[Model], ...]:
    """The event tables of all tracked models, in the order in which the models are declared."""
    return tuple(pghistory.core.event_models())


def tracked_model(events: type[Model]) -> type[Model]:
    """The model whose changes the table keeps; Django's own behind our proxies."""
    tracked = events.pgh_tracked_model  # type: ignore[attr-defined]
    found: type[Model] = tracked._meta.concrete_model
    return found


def events_of(model: type[Model]) -> type[Model] | None:
    """The event table of a model; None: its changes are not kept."""
    found = (each for each in event_models() if tracked_model(each) is model)
    return next(found, None)


def readable_models(user: Viewer) -> tuple[type[Model], ...]:
    """The event tables of which this user may see rows."""
    return tuple(each for each in event_models() if user.has_perm(history_permission(each)))


def readable_events(events: type[Model], *, user: Viewer) -> QuerySet[Any]:
    """The rows of an event table that this user may see."""
    rows = events._default_manager.all()
    if not user.has_perm(history_permission(events)):
        return rows.none()
    return visible_history(rows, user=user)


@dataclass(frozen=True, slots=True)
class Act:
    """One act and what it changed, as far as the reader may see it."""

    context: Context
    counts: tuple[Counted, ...]


@dataclass(frozen=True, slots=True)
class Acts:
    """A page of acts, newest first. `after`: the time and id to go on from; None on the last."""

    acts: tuple[Act, ...]
    after: tuple[datetime, UUID] | None


@dataclass(frozen=True, slots=True)
class ActsAsked:
    """Which acts. `person`: the whole user name, or the actor that services wrote down; `kind`: the
    label of an event table. `since` is included, `until` is not; what is left out narrows nothing.
    """

    person: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None


def acts_page(
    user: Viewer,
    asked: ActsAsked,
    *,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> Acts:
    """The acts that changed something this user may see.

    Looks at no more than MOST_LOOKED_AT acts: a page may be short, or empty, and still not be the
    last. So a page costs the same however many acts there are and however few this user may see.
    """
    found: list[Act] = []
    looked_at, portion = 0, limit + 1
    while looked_at < MOST_LOOKED_AT:
        rows = list(_asked(user, asked, after=after)[:portion])
        counts = counted(rows, user=user)
        for row in rows:
            seen = counts.get(row.pk, ())
            if not seen:
                after = (row.created_at, row.pk)
                continue
            if len(found) == limit:
                return Acts(tuple(found), after)
            found.append(Act(row, seen))
            after = (row.created_at, row.pk)
        looked_at += len(rows)
        if len(rows) < portion:
            return Acts(tuple(found), None)
    return Acts(tuple(found), after)


def _asked(
    user: Viewer, asked: ActsAsked, *, after: tuple[datetime, UUID] | None
) -> QuerySet[Context]:
    found: QuerySet[Context] = Context.objects.order_by("-created_at", "-id")
    if asked.person:
        found = found.filter(by_person(asked.person))
    if asked.kind:
        kinds = [each for each in event_models() if each._meta.label_lower == asked.kind]
        if not kinds:
            return found.none()
        rows = readable_events(kinds[0], user=user).filter(pgh_context_id=OuterRef("pk"))
        found = found.filter(Exists(rows))
    if asked.since is not None:
        found = found.filter(created_at__gte=asked.since)
    if asked.until is not None:
        found = found.filter(created_at__lt=asked.until)
    if after is not None:
        at, pk = after
        older = Q(created_at__lt=at) | Q(created_at=at, pk__lt=pk)
        found = found.filter(older, created_at__lte=at)
    return found


def act(user: Viewer, pk: UUID) -> Act | None:
    """One act, if it changed something this user may see."""
    context = Context.objects.filter(pk=pk).first()
    if context is None:
        return None
    counts = counted([context], user=user).get(context.pk, ())
    return Act(context, counts) if counts else None


def by_person(name: str) -> Q:
    """Acts of a person, an API key or a job's owner, by the whole name."""
    wanted = Q(metadata__contains={"actor": name}) | Q(metadata__contains={"username": name})
    ids = get_user_model().objects.filter(username=name).values_list("pk", flat=True)
    for pk in ids:
        wanted |= Q(metadata__contains={"user": pk})
    return wanted


def counted(contexts: Sequence[Context], *, user: Viewer) -> dict[Any, tuple[Counted, ...]]:
    """What each of these acts changed, as far as this user may see it: one query."""
    models = {f"in_{number}": each for number, each in enumerate(readable_models(user))}
    labels = {
        name: ArraySubquery(
            readable_events(each, user=user)
            .filter(pgh_context_id=OuterRef("pk"))
            .values("pgh_label")[: MOST_COUNTED + 1]
        )
        for name, each in models.items()
    }
    rows = Context.objects.filter(pk__in=[each.pk for each in contexts]).annotate(**labels)
    with _by_index():
        found = list(rows.values("pk", *models))
    return {
        row["pk"]: tuple(_counted(each, row[name]) for name, each in models.items() if row[name])
        for row in found
    }


@contextmanager
def _by_index() -> Iterator[None]:
    """Without reading whole tables. A run's act has many thousand rows of one table and other acts
    none: for a few of them the planner would read the table from its start, for each act again.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        yield
        # The transaction may be a caller's.
        cursor.execute("SET LOCAL enable_seqscan = on")
        cursor.execute("SET LOCAL enable_bitmapscan = on")


def _counted(events: type[Model], labels: Sequence[str]) -> Counted:
    is_cut = len(labels) > MOST_COUNTED
    kept = labels[:MOST_COUNTED]
    by_act = {act: kept.count(act) for act in ("insert", "update", "delete") if act in kept}
    return Counted(events, by_act, is_cut)


def changes(events: Iterable[Any], *, user: Viewer) -> list[Change]:
    """Rows of one event table with what was before each, if this user may see that too: what
    became internal was hidden before. Two queries."""
    rows = list(events)
    before = _before([row for row in rows if row.pgh_label == "update"], user=user)
    return [
        Change(
            row,
            before=row if row.pgh_label == "delete" else before.get(row.pgh_id),
            after=None if row.pgh_label == "delete" else row,
        )
        for row in rows
    ]


def identity_field(events: type[Model]) -> str | None:
    """The column that says which row it was; None for links, which never change."""
    names = {field.attname for field in events._meta.concrete_fields}
    if "pgh_obj_id" in names:
        return "pgh_obj_id"
    return "prefix" if "prefix" in names else None  # an API key's row id holds its hash


def _before(rows: Sequence[Any], *, user: Viewer) -> dict[int, Any]:
    """By the id of an update: the row kept before it of the same object, none in place of one that
    this user may not see."""
    if not rows:
        return {}
    model = type(rows[0])
    same = identity_field(model)
    if same is None:
        return {}
    former = model._default_manager.filter(
        **{same: OuterRef(same)}, pgh_id__lt=OuterRef("pgh_id")
    ).order_by("-pgh_id")
    pairs = (
        model._default_manager.filter(pk__in=[row.pgh_id for row in rows])
        .annotate(former=Subquery(former.values("pgh_id")[:1]))
        .exclude(former=None)
        .values_list("pgh_id", F("former"))
    )
    wanted = dict(pairs)
    found = readable_events(model, user=user).in_bulk(set(wanted.values()))
    return {pgh_id: found[former_id] for pgh_id, former_id in wanted.items() if former_id in found}


def actors(contexts: Iterable[Context | None]) -> dict[int, str]:
    """User names by id, of the people these acts name: one query."""
    ids = {
        int(each.metadata["user"])
        for each in contexts
        if each is not None and str(each.metadata.get("user") or "").isdecimal()
    }
    people = get_user_model().objects.filter(pk__in=ids)
    return dict(people.values_list("pk", "username")) if ids else {}
