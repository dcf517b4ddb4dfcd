"""Who overtook a save, and what they changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.apps import apps
from django.utils.translation import gettext as _

from membership.domain.field_changes import FieldChange, field_changes
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import TierwiseError
from segmentation.domain.row_numbers import row_number
from segmentation.models import Draft
from segmentation.permissions import Viewer, visible_drafts, visible_versions

from .draft_documents import definition_of
from .draft_states import Work, saved_state, unedited, work_of


@dataclass(frozen=True, slots=True)
class Edit:
    """One save: who, when, and what it changed."""

    author: str
    at: datetime
    changes: tuple[FieldChange, ...]


class DraftConflict(TierwiseError):
    """Somebody saved, published or discarded the draft since this person opened it.

    `current` is what is saved now (None: the draft is gone), `edits` who changed what since.
    """

    code = "draft_changed"

    def __init__(self, message: str, *, current: Work | None, edits: tuple[Edit, ...]) -> None:
        super().__init__(message)
        self.current = current
        self.edits = edits


def conflict_at(ref: Ref, *, stamp: str, viewer: Viewer) -> DraftConflict:
    """Why nothing can be saved any more over the state that a stamp names."""
    identity, revision = saved_state(stamp)
    drafts = visible_drafts(viewer)
    if identity:
        draft = drafts.filter(pk=identity).first()
    else:
        draft = drafts.filter(kind=ref.kind, key=ref.key).first()
    if draft is None:
        return _ended(ref, stamp=stamp, viewer=viewer)
    message = _("%(who)s saved this draft since you opened it; nothing was overwritten.") % {
        "who": draft.author
    }
    known = definition_of(Ref(draft.kind, draft.key), viewer=viewer)
    edits = edits_since(draft, revision=revision)
    return DraftConflict(message, current=work_of(draft, known=known), edits=edits)


def _ended(ref: Ref, *, stamp: str, viewer: Viewer) -> DraftConflict:
    """The draft is gone: published, which leaves the definition to look at, or discarded."""
    known = definition_of(ref, viewer=viewer)
    edits = () if known is None else published_since(ref, version=_base_of(stamp), viewer=viewer)
    if known is None or known.is_retired or not edits:
        message = _("This draft was published or discarded by somebody since you opened it.")
        # Saved again, it is a new draft of what is published.
        current = None if known is None or known.is_retired else unedited(known)
        return DraftConflict(message, current=current, edits=())
    message = _("%(who)s published this since you opened it; nothing was overwritten.") % {
        "who": edits[-1].author
    }
    return DraftConflict(message, current=unedited(known), edits=edits)


def _base_of(stamp: str) -> int:
    """The published version that the state a stamp names was started from."""
    if stamp.startswith("v"):
        return row_number(stamp[1:]) or 0
    identity, _revision = saved_state(stamp)
    events = apps.get_model("segmentation", "DraftEvent")._default_manager
    rows = events.filter(pgh_obj_id=identity).values_list("base_version", flat=True)
    return rows.first() or 0


def published_since(ref: Ref, *, version: int, viewer: Viewer) -> tuple[Edit, ...]:
    """The versions of a definition published after one, oldest first, each with what it changed."""
    rows = visible_versions(viewer).filter(kind=ref.kind, key=ref.key, number__gte=version)
    before: Any = {}
    edits: list[Edit] = []
    for row in rows.order_by("number"):
        if row.number > version:
            changes = field_changes(before, row.document)
            edits.append(Edit(row.actor, row.published_at, changes))
        before = row.document
    return tuple(edits)


def edits_since(draft: Draft, *, revision: int) -> tuple[Edit, ...]:
    """The saves of a draft after a revision, oldest first, each with the fields it changed."""
    events = apps.get_model("segmentation", "DraftEvent")._default_manager
    rows = events.filter(pgh_obj_id=draft.pk, revision__gte=revision).order_by("pgh_id")
    before: Any = {}
    edits: list[Edit] = []
    for row in rows:
        if row.revision > revision:
            changes = field_changes(before, row.document)
            edits.append(Edit(row.author, row.updated_at, changes))
        before = row.document
    return tuple(edits)
