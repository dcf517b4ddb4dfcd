"""What a person works on: a saved draft, or a definition that nobody edits yet."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotFoundError
from segmentation.models import Draft
from segmentation.permissions import Viewer, visible_drafts

from .draft_documents import Definition, definition_of

NEW = ""  # the stamp of what exists nowhere yet
_SAVED = re.compile(r"([0-9]{1,18})\.([0-9]{1,9})\Z")


@dataclass(frozen=True, slots=True)
class Work:
    """What a person works on: a saved draft, or a definition that was not edited yet.

    `stamp` names exactly this state: a saved draft, the published version nobody edits yet, or
    `NEW`; saving gives it back. `is_behind`: the definition was published by somebody since the
    draft was started from `base_version`.
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
        return "." in self.stamp


def work_on(ref: Ref, *, viewer: Viewer) -> Work:
    """The draft of a definition, else the definition itself as a draft nobody saved yet.

    Raises NotFoundError when there is neither, or none that the viewer may know of.
    """
    draft = visible_drafts(viewer).filter(kind=ref.kind, key=ref.key).first()
    if draft is not None:
        return work_of(draft, known=definition_of(ref, viewer=viewer))
    known = definition_of(ref, viewer=viewer)
    if known is None or known.is_retired:
        raise NotFoundError(_("There is no such draft or definition."))
    return unedited(known)


def version_stamp(version: int) -> str:
    """Names a published version that nobody edits yet; `NEW` without one."""
    return f"v{version}" if version else NEW


def stamp_of(draft: Draft) -> str:
    """Names this saved state of this draft; a later draft of the same key has others."""
    return f"{draft.pk}.{draft.revision}"


def saved_state(stamp: str) -> tuple[int, int]:
    """The draft and revision that a stamp names; zeros, which no draft has, for any other text."""
    match = _SAVED.match(stamp)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def work_of(draft: Draft, *, known: Definition | None) -> Work:
    """A saved draft of the definition `known`, if there is one."""
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


def unedited(known: Definition) -> Work:
    """A published definition as a draft that nobody saved yet."""
    stamp = version_stamp(known.version)
    return Work(known.ref, known.document, known.version, stamp, is_hidden=known.is_hidden)
