"""Drafts: edits that are not published. Nobody's work is overwritten without being asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pghistory
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading.place import KEY
from segmentation.models import CustomerList, Draft, Segment
from segmentation.permissions import Viewer, may_see_hidden
from segmentation.services.definitions import lock_definitions

from .draft_conflicts import DraftConflict, Edit, conflict_at
from .draft_documents import definition_of, key_name
from .draft_states import NEW, Work, saved_state, version_stamp, work_of, work_on

__all__ = [
    "NEW",
    "DraftConflict",
    "Edit",
    "Work",
    "discard_draft",
    "new_work",
    "save_draft",
    "work_on",
]


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
    is_first = "." not in stamp
    if is_first or ref != work.ref:
        _require_free(ref, work)
    try:
        with transaction.atomic(), pghistory.context(actor=actor):
            if is_first:
                _require_unpublished(work, stamp=stamp, viewer=viewer)
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
        raise conflict_at(work.ref, stamp=stamp, viewer=viewer) from None
    except Draft.DoesNotExist:
        raise conflict_at(work.ref, stamp=stamp, viewer=viewer) from None
    return work_of(draft, known=definition_of(ref, viewer=viewer))


def discard_draft(work: Work, *, actor: str, reason: str = "") -> None:
    """Throw away exactly the saved state that was looked at; its history keeps what it was.

    Raises DraftConflict when somebody saved another one since.
    """
    identity, revision = saved_state(work.stamp)
    with transaction.atomic(), pghistory.context(actor=actor, reason=reason.strip()):
        gone, _models = Draft.objects.filter(pk=identity, revision=revision).delete()
    if not gone:
        raise DraftConflict(
            _("Somebody saved this draft since you opened it, so it was not discarded."),
            current=None,
            edits=(),
        )


def _replace(stamp: str, **values: Any) -> Draft:
    """One conditional UPDATE: the condition decides, so nothing can come in between."""
    identity, revision = saved_state(stamp)
    found = Draft.objects.filter(pk=identity, revision=revision)
    if not found.update(revision=F("revision") + 1, updated_at=timezone.now(), **values):
        raise Draft.DoesNotExist
    return Draft.objects.get(pk=identity)


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


def _require_unpublished(work: Work, *, stamp: str, viewer: Viewer) -> None:
    """Nobody published another version since this one was looked at, nor can until the end of the
    transaction."""
    lock_definitions(exclusive=False)
    known = definition_of(work.ref, viewer=viewer)
    version = 0 if known is None or known.is_retired else known.version
    if stamp != version_stamp(version):
        raise conflict_at(work.ref, stamp=stamp, viewer=viewer)


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
