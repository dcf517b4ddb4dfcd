"""Words of the builder's pages: kinds, changed fields, movements."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from membership.domain.field_changes import FieldChange
from membership.services.draft_documents import model_of, split
from membership.services.drafts import DraftConflict
from membership.services.preview import Movement
from segmentation.admin import shown
from segmentation.domain.dependencies import Ref

_KINDS: Mapping[str, str | Promise] = {
    "tag": gettext_lazy("Tag"),
    "metric": gettext_lazy("Metric"),
    "layering": gettext_lazy("Layering"),
    "segment": gettext_lazy("Segment"),
    "program": gettext_lazy("Program"),
}
_LONGEST = 160


def kind_words(kind: str) -> str:
    return str(_KINDS.get(kind, kind))


def ref_words(ref: Ref) -> str:
    """A definition as kind and key."""
    return _("%(kind)s %(key)s") % {"kind": kind_words(ref.kind), "key": ref.key}


def conflict_rows(conflict: DraftConflict) -> list[tuple[str, str, str, str, str]]:
    """Who changed what since: person, time, place, before, after."""
    return [
        (edit.author, shown.instant(edit.at), *change_cells(change))
        for edit in conflict.edits
        for change in edit.changes
    ]


def change_cells(change: FieldChange) -> tuple[str, str, str]:
    return change.path or "/", value_words(change.before), value_words(change.after)


def value_words(value: Any) -> str:
    """A value of a document, short enough for a cell."""
    if value is None:
        return shown.EMPTY
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def names_of(refs: Iterable[Ref], *, drafted: Mapping[str, Any] | None = None) -> dict[Ref, str]:
    """Names in the reader's language of definitions that the reader may know of; one query a kind.

    What is new is called as in the definitions document `drafted`, else by its key.
    """
    wanted: dict[str, set[str]] = {}
    for ref in refs:
        wanted.setdefault(ref.kind, set()).add(ref.key)
    found: dict[Ref, str] = {}
    for kind, keys in wanted.items():
        rows: Any = model_of(kind)._default_manager.filter(key__in=keys)
        labels = dict(rows.values_list("key", shown.label_field()))
        found |= {Ref(kind, key): labels.get(key) or key for key in keys}
    for ref, document in split(drafted or {}):
        if found.get(ref) == ref.key:
            found[ref] = shown.document_label(document, key=ref.key)
    return found


def definition_url(ref: Ref) -> str:
    """The page of a published definition."""
    model = model_of(ref.kind)
    pk = model._default_manager.filter(key=ref.key).values_list("pk", flat=True).first()
    if pk is None:
        return reverse("admin:index")
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[pk])


def movement_rows(
    movements: Iterable[Movement], *, drafted: Mapping[str, Any] | None = None
) -> list[tuple[str, str, str, str, str, str]]:
    """What, value, size before and after, entered, left."""
    listed = list(movements)
    names = names_of((one.ref for one in listed), drafted=drafted)
    return [
        (
            f"{kind_words(one.ref.kind)} · {names[one.ref]}",
            one.value or shown.EMPTY,
            shown.count(one.before),
            shown.count(one.size),
            shown.change(one.entered),
            shown.change(-one.left),
        )
        for one in listed
    ]
