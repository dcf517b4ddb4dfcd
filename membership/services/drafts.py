"""Drafts: edits that are not published. Nobody's work is overwritten without being asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pghistory
from django.apps import apps
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from membership.domain.field_changes import FieldChange, field_changes
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError, Problem, TierwiseError
from segmentation.domain.reading.place import KEY
from segmentation.models import CustomerList, Draft, Segment
from segmentation.permissions import Viewer, may_see_hidden, visible_drafts

from .draft_documents import Definition, definition_of, key_name

NEW = ""  # the stamp of what was never saved


@dataclass(frozen=True, slots=True)
class Work:
    """What a person works on: a saved draft, or a definition that was not edited yet.

    `stamp` names exactly this state (`NEW`: nothing is saved); saving gives it back. `is_behind`:
    the definition was published by somebody since the draft was started from `base_version`.
    """

    ref: Ref
    document: dict[str, Any]
    base_version: int
    stamp: str
    is_hidden: bool
    is_behind: bool = False
    author: str = ""
    updated_at: datetime | None = None

    @property
    def is_saved(self) -> bool:
        return self.stamp != NEW


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


def work_on(ref: Ref, *, viewer: Viewer) -> Work:
    """The draft of a definition, else the definition itself as a draft nobody saved yet.

    Raises NotFoundError when there is neither, or none that the viewer may know of.
    """
    draft = visible_drafts(viewer).filter(kind=ref.kind, key=ref.key).first()
    if draft is not None:
        return _work(draft, known=definition_of(ref, viewer=viewer))
    known = definition_of(ref, viewer=viewer)
    if known is None or known.is_retired:
        raise NotFoundError(_("There is no such draft or definition."))
    return Work(ref, known.document, known.version, NEW, known.is_hidden)


def new_work(ref: Ref, document: Mapping[str, Any], *, viewer: Viewer, actor: str) -> Work:
    """A draft of a definition that does not exist, checked and saved.

    Errors: `invalid_key`, `key_taken` (a living definition or a draft has the key, visible or
    not), `forbidden`.
    """
    return save_draft(
        Work(ref, dict(document), 0, NEW, is_hidden=False),
        document=document,
        stamp=NEW,
        viewer=viewer,
        actor=actor,
    )


def save_draft(
    work: Work, *, document: Mapping[str, Any], stamp: str, viewer: Viewer, actor: str
) -> Work:
    """Save a document as the draft of `work`, if nobody saved another since `stamp` was given out.

    Of two saves with the same stamp exactly one wins; the other raises DraftConflict. To overwrite
    deliberately, save with the stamp of what is saved now. A draft of something new moves to the
    key its document says. Errors also: `invalid_key`, `key_taken`, `forbidden` (only who may see
    hidden segments makes one).
    """
    document = dict(document)
    _require_right(work.ref.kind, document, viewer)
    ref = _place(work, document)
    is_hidden = work.is_hidden or _is_hidden(ref, document, viewer)
    if stamp == NEW or ref != work.ref:
        _require_free(ref, work)
    try:
        with transaction.atomic(), pghistory.context(actor=actor):
            if stamp == NEW:
                draft = Draft.objects.create(
                    kind=ref.kind, key=ref.key, document=document,
                    base_version=work.base_version, is_hidden=is_hidden, author=actor,
                )  # fmt: skip
            else:
                draft = _replace(
                    stamp, key=ref.key, document=document, is_hidden=is_hidden, author=actor
                )
    except IntegrityError:
        if ref != work.ref or work.base_version == 0:
            raise _key_taken(ref) from None
        raise _conflict(work.ref, stamp=stamp, viewer=viewer) from None
    except Draft.DoesNotExist:
        raise _conflict(work.ref, stamp=stamp, viewer=viewer) from None
    return _work(draft, known=definition_of(ref, viewer=viewer))


def discard_draft(work: Work, *, actor: str, reason: str = "") -> None:
    """Throw away exactly the saved state that was looked at; its history keeps what it was.

    Raises DraftConflict when somebody saved another one since.
    """
    identity, _dot, revision = work.stamp.partition(".")
    with transaction.atomic(), pghistory.context(actor=actor, reason=reason.strip()):
        gone, _models = Draft.objects.filter(pk=identity or 0, revision=revision or 0).delete()
    if not gone:
        raise DraftConflict(
            _("Somebody saved this draft since you opened it, so it was not discarded."),
            current=None,
            edits=(),
        )


def stamp_of(draft: Draft) -> str:
    """Names this saved state of this draft; a later draft of the same key has others."""
    return f"{draft.pk}.{draft.revision}"


def _replace(stamp: str, **values: Any) -> Draft:
    """One conditional UPDATE: the condition decides, so nothing can come in between."""
    identity, _dot, revision = stamp.partition(".")
    if not (identity.isdigit() and revision.isdigit()):
        raise Draft.DoesNotExist
    found = Draft.objects.filter(pk=int(identity), revision=int(revision))
    if not found.update(revision=F("revision") + 1, updated_at=timezone.now(), **values):
        raise Draft.DoesNotExist
    return Draft.objects.get(pk=int(identity))


def _work(draft: Draft, *, known: Definition | None) -> Work:
    return Work(
        ref=Ref(draft.kind, draft.key),
        document=draft.document,
        base_version=draft.base_version,
        stamp=stamp_of(draft),
        is_hidden=draft.is_hidden,
        is_behind=known is not None and known.version > draft.base_version,
        author=draft.author,
        updated_at=draft.updated_at,
    )


def _place(work: Work, document: Mapping[str, Any]) -> Ref:
    """Where the draft lies: a new one at the key its document says, if that can be a key."""
    key = document.get(key_name(work.ref.kind))
    if work.base_version == 0 and isinstance(key, str) and KEY.match(key):
        return Ref(work.ref.kind, key)
    if not KEY.match(work.ref.key):
        message = _("A key has up to 64 lower case letters, digits and “_”, a letter first.")
        problem = Problem(f"/{key_name(work.ref.kind)}", "invalid_key", message)
        raise TierwiseError(message, code="invalid_key", problems=(problem,))
    return work.ref


def _require_free(ref: Ref, work: Work) -> None:
    """A new definition takes a key that no living one has; the refusal tells nothing about it."""
    if work.base_version:
        return
    known = definition_of(ref, viewer=None)
    if known is not None and (not known.is_retired or known.is_hidden):
        raise _key_taken(ref)


def _key_taken(ref: Ref) -> TierwiseError:
    message = _("The key “%(key)s” can't be used; choose another one.") % {"key": ref.key}
    problem = Problem(f"/{key_name(ref.kind)}", "key_taken", message)
    return TierwiseError(message, code="key_taken", problems=(problem,))


def _require_right(kind: str, document: Mapping[str, Any], viewer: Viewer) -> None:
    if kind != "segment" or document.get("visibility") != "hidden" or may_see_hidden(viewer):
        return
    message = _("Your role can't make restricted segments; choose “internal”.")
    problem = Problem("/visibility", "forbidden", message)
    raise TierwiseError(message, code="forbidden", problems=(problem,))


def _is_hidden(ref: Ref, document: Mapping[str, Any], viewer: Viewer) -> bool:
    """Of a hidden segment, or naming one: then only people with the right see the draft."""
    if ref.kind == "segment":
        if document.get("visibility") == "hidden":
            return True
        if Segment.objects.filter(key=ref.key, is_hidden=True).exists():
            return True
    if not may_see_hidden(viewer):
        return False  # cannot know the names
    words = set(_texts(document))
    return (
        Segment.objects.filter(is_hidden=True, key__in=words).exists()
        or CustomerList.objects.filter(is_hidden=True, key__in=words).exists()
        or Draft.objects.filter(is_hidden=True, kind="segment", key__in=words)
        .exclude(kind=ref.kind, key=ref.key)
        .exists()
    )


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for child in value.values() for text in _texts(child)]
    if isinstance(value, list):
        return [text for child in value for text in _texts(child)]
    return [value] if isinstance(value, str) else []


def _conflict(ref: Ref, *, stamp: str, viewer: Viewer) -> DraftConflict:
    identity, _dot, revision = stamp.partition(".")
    drafts = visible_drafts(viewer)
    if stamp == NEW:
        draft = drafts.filter(kind=ref.kind, key=ref.key).first()
    else:
        draft = drafts.filter(pk=int(identity) if identity.isdigit() else 0).first()
    if draft is None:
        message = _("This draft was published or discarded by somebody since you opened it.")
        return DraftConflict(message, current=None, edits=())
    edits = edits_since(draft, revision=int(revision) if revision.isdigit() else 0)
    message = _("%(who)s saved this draft since you opened it; nothing was overwritten.") % {
        "who": draft.author
    }
    known = definition_of(Ref(draft.kind, draft.key), viewer=viewer)
    return DraftConflict(message, current=_work(draft, known=known), edits=edits)


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
