"""Changes for people to read: which object, which fields, what before and what after."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.db.models import Field, ForeignKey, Model
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from segmentation.models import Customer, Run
from segmentation.queries.changes import Change, identity_field, tracked_model

from . import shown
from .documents import as_yaml
from .right_words import permission_words, role_words

ACTS: dict[str, tuple[Any, str]] = {
    "insert": (_("Added"), "success"),
    "update": (_("Changed"), "info"),
    "delete": (_("Removed"), "danger"),
}
KIND_WORDS = {
    "tag": _("Tag"),
    "metric": _("Metric"),
    "layering": _("Layering"),
    "segment": _("Segment"),
    "program": _("Program"),
    "list": _("List"),
}
_UNTOLD = frozenset({"id", "created_at", "updated_at"})
_TITLES = {  # Django's own links have no words for their ends
    "user": _("person"),
    "group": _("role"),
    "permission": _("right"),
}
_CONTEXT_LINES = 3
_LINE_CLASSES = {"+": "tw-added", "-": "tw-removed", "@": "tw-skipped"}


@dataclass(frozen=True)
class DiffLine:
    """One line of a difference; `sign` is `+`, `-`, `@` (lines left out) or a space."""

    sign: str
    text: str


@dataclass(frozen=True)
class ShownField:
    """One field before and after; of a long text the difference, line by line."""

    name: Any
    before: Any = ""
    after: Any = ""
    diff: tuple[DiffLine, ...] = ()

    @property
    def block(self) -> SafeString:
        """The difference as preformatted text; added and removed lines are marked and coloured."""
        lines = (
            (_LINE_CLASSES.get(line.sign, ""), line.sign.replace("@", " "), line.text)
            for line in self.diff
        )
        text = format_html_join("", '<span class="{}">{} {}\n</span>', lines)
        return format_html('<pre class="tw-code tw-diff" lang="en" translate="no">{}</pre>', text)


@dataclass(frozen=True)
class ShownChange:
    """One change: of what, how, and its fields. `address` leads to the object, "" without one."""

    what: str
    kind: str
    act: SafeString
    fields: tuple[ShownField, ...]
    address: str = ""
    note: Any = ""


References = Mapping[tuple[type[Model], Any], str]


def kind_words(events: type[Model]) -> str:
    """What the tracked thing is called: Segment, Role, List."""
    return str(capfirst(events.pgh_tracked_model._meta.verbose_name))  # type: ignore[attr-defined]


def act_badge(act: str) -> SafeString:
    words, colour = ACTS.get(act, (act, "default"))
    return shown.badge(words, colour=colour)


def shown_changes(found: Sequence[Change], *, request: HttpRequest) -> list[ShownChange]:
    """Changes of one table. Names of what they mention take one query per table mentioned."""
    known = _references(each for change in found for each in (change.before, change.after) if each)
    return [_shown(change, known, request=request) for change in found]


def _shown(change: Change, known: References, *, request: HttpRequest) -> ShownChange:
    events = type(change.event)
    kind = kind_words(events)
    note: Any = ""
    if change.act == "update" and change.before is None:
        note = _("What was before is not kept, or not for your role.")
    is_link = identity_field(events) is None
    return ShownChange(
        what=object_words(change.event, known),
        kind=kind,
        act=act_badge(change.act),
        fields=() if is_link else tuple(_fields(change, known)),
        address="" if change.act == "delete" else object_address(change.event, request=request),
        note=note,
    )


def object_words(event: Any, known: References) -> str:
    """What the changed thing is called in the language of the request."""
    if hasattr(event, "label_en"):
        return f"{shown.label(event)} ({event.key})"
    if hasattr(event, "kind") and hasattr(event, "key"):
        return f"{KIND_WORDS.get(event.kind, event.kind)} {event.key}"
    if hasattr(event, "username"):
        return str(event.username)
    if type(event).__name__ == "RoleEvent":
        return gettext(event.name)
    if hasattr(event, "prefix"):
        return str(event.name)
    named = [
        _value(field, event, known)
        for field in event._meta.concrete_fields
        if isinstance(field, ForeignKey) and _is_told(field) and field.name != "run"
    ]
    return " · ".join(str(each) for each in named) or str(event.pk)


def object_address(event: Any, *, request: HttpRequest) -> str:
    """The object's page; "" without one, or for those who may not open it."""
    model = tracked_model(type(event))
    page = admin.site._registry.get(model)
    same = identity_field(type(event))
    if page is None or same is None or not page.has_view_permission(request):
        return ""
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
    return reverse(name, args=[getattr(event, same)])


def _fields(change: Change, known: References) -> Iterable[ShownField]:
    for field in type(change.event)._meta.concrete_fields:
        if not _is_told(field):
            continue
        before = _value(field, change.before, known) if change.before else None
        after = _value(field, change.after, known) if change.after else None
        title = capfirst(str(_TITLES.get(field.name, field.verbose_name)))
        if change.act == "update":
            if change.before is not None and _raw(field, change.before) == _raw(
                field, change.after
            ):
                continue
        elif (before if after is None else after) in (shown.EMPTY, None):
            continue
        if _is_long(field):
            yield ShownField(title, diff=difference(before or "", after or ""))
        else:
            yield ShownField(title, before or "", after or "")


def difference(before: str, after: str) -> tuple[DiffLine, ...]:
    """Line by line, with some unchanged lines around each change."""
    lines = difflib.unified_diff(
        before.splitlines(), after.splitlines(), lineterm="", n=_CONTEXT_LINES
    )
    found = [DiffLine(line[:1] or " ", line[1:]) for line in list(lines)[2:]]
    shown_lines = [DiffLine("@", "⋯") if line.sign == "@" else line for line in found]
    # A mark before the very first line says nothing.
    return tuple(shown_lines[1:] if shown_lines[:1] == [DiffLine("@", "⋯")] else shown_lines)


def _is_told(field: Field[Any, Any]) -> bool:
    return not field.name.startswith("pgh_") and field.name not in _UNTOLD


def _is_long(field: Field[Any, Any]) -> bool:
    return field.name == "document"


def _raw(field: Field[Any, Any], row: Any) -> Any:
    return getattr(row, field.attname)


def _value(field: Field[Any, Any], row: Any, known: References) -> Any:
    raw = _raw(field, row)
    if _is_long(field):
        return as_yaml(raw)
    if raw is None or raw == "" or raw == []:
        return shown.EMPTY
    if isinstance(field, ForeignKey):
        return known.get((_target(field), raw), f"#{raw}")
    if field.choices:
        return dict(field.flatchoices).get(raw, raw)
    return plain_value(raw)


def plain_value(raw: Any) -> Any:
    """A stored value as a person reads it."""
    if raw is None or raw == "" or raw == []:
        return shown.EMPTY
    if isinstance(raw, bool):
        return gettext("Yes") if raw else gettext("No")
    if isinstance(raw, datetime):
        return shown.instant(raw)
    if isinstance(raw, list):
        return ", ".join(str(item) for item in raw)
    if isinstance(raw, Mapping):
        return as_yaml(raw)
    return raw


def _target(field: ForeignKey[Any, Any]) -> type[Model]:
    found = field.related_model._meta.concrete_model
    assert found is not None  # None: an abstract model, which nothing points at
    return found


def _references(rows: Iterable[Any]) -> References:
    """Names of the rows that these rows point at, by model and id."""
    wanted: dict[type[Model], set[Any]] = defaultdict(set)
    for row in rows:
        for field in row._meta.concrete_fields:
            if isinstance(field, ForeignKey) and _is_told(field):
                raw = _raw(field, row)
                if raw is not None:
                    wanted[_target(field)].add(raw)
    return {
        (model, pk): _reference_words(row)
        for model, ids in wanted.items()
        for pk, row in _named(model).in_bulk(ids).items()
    }


def _named(model: type[Model]) -> Any:
    rows = model._default_manager.all()
    if model is Permission:
        return rows.select_related("content_type")
    names = {field.name for field in model._meta.concrete_fields}
    return rows.defer(*({"document", "log", "cuts"} & names))


def _reference_words(row: Any) -> str:
    if isinstance(row, Customer):
        return row.external_id
    if isinstance(row, Run):
        return f"{row.pk} · {shown.instant(row.as_of)}"
    if isinstance(row, User):
        return row.get_username()
    if isinstance(row, Group):
        return role_words(row)
    if isinstance(row, Permission):
        return permission_words(row)
    if hasattr(row, "label_en"):
        return shown.label(row)
    return str(row)
