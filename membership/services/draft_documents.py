"""Definitions and drafts as documents: one definition each, and what a draft needs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from membership.domain.documents import Source, read_sources
from membership.models import Program
from segmentation.domain.dependencies import Ref
from segmentation.models import Definition as DefinitionRow
from segmentation.permissions import Viewer, visible_drafts, visible_segments
from segmentation.services.definitions import MODELS

from .definitions import project_zone

SECTIONS = {
    "tag": "tags",
    "metric": "metrics",
    "layering": "layerings",
    "segment": "segments",
    "program": "programs",
}
KINDS = tuple(SECTIONS)
_KIND_OF = {section: kind for kind, section in SECTIONS.items()}


@dataclass(frozen=True, slots=True)
class Definition:
    """A stored definition, as a document that would define it again."""

    ref: Ref
    document: dict[str, Any]
    version: int
    is_hidden: bool
    is_retired: bool


def key_name(kind: str) -> str:
    """The field of a document that holds its key."""
    return "group" if kind == "tag" else "key"


def model_of(kind: str) -> type[DefinitionRow]:
    """The table of a kind. Raises KeyError for an unknown one."""
    return Program if kind == "program" else MODELS[kind]


def definition_of(ref: Ref, *, viewer: Viewer | None) -> Definition | None:
    """The stored definition, retired ones too; None when there is none the viewer may know of.

    Without a viewer (only to find out whether a key is free) it may be any.
    """
    if ref.kind not in SECTIONS:
        return None
    rows: Any = model_of(ref.kind)._default_manager.all()
    if ref.kind == "segment" and viewer is not None:
        rows = visible_segments(viewer)
    row = rows.filter(key=ref.key).first()
    if row is None:
        return None
    return Definition(
        ref=ref,
        document=_program_document(row) if isinstance(row, Program) else row.document,
        version=row.version,
        is_hidden=bool(getattr(row, "is_hidden", False)),
        is_retired=row.retired_at is not None,
    )


def _program_document(program: Program) -> dict[str, Any]:
    """The program with its newest version; what is not set is left out."""
    newest = program.versions.order_by("-number").first()
    version = {} if newest is None else newest.document
    kept = {name: value for name, value in version.items() if value is not None}
    return {**program.document, "version": kept}


def retirement(ref: Ref) -> dict[str, Any]:
    """The definitions document that retires one definition."""
    return {SECTIONS[ref.kind]: [{key_name(ref.kind): ref.key, "retired": True}]}


def split(document: Mapping[str, Any]) -> tuple[tuple[Ref, dict[str, Any]], ...]:
    """The single definitions of a definitions document that have a readable key, in order."""
    found: list[tuple[Ref, dict[str, Any]]] = []
    for section, items in document.items():
        kind = _KIND_OF.get(section)
        if kind is None or not isinstance(items, list):
            continue
        for item in items:
            key = item.get(key_name(kind)) if isinstance(item, Mapping) else None
            if isinstance(key, str):
                found.append((Ref(kind, key), dict(item)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A draft with the drafts it needs: what is checked, previewed and published together.

    `subject` is the first of its section in `document`, so problems about it lie below `path`.
    """

    subject: Ref
    document: dict[str, list[Any]]
    companions: tuple[Ref, ...]
    stamps: Mapping[Ref, str]

    @property
    def path(self) -> str:
        """The JSON pointer of the subject's own document."""
        return f"/{SECTIONS[self.subject.kind]}/0"

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (self.subject, *self.companions)

    def owner(self, path: str) -> Ref | None:
        """The definition that a JSON pointer into `document` lies in."""
        _root, section, position, *_rest = [*path.split("/"), "", ""]
        kind = _KIND_OF.get(section)
        items = self.document.get(section) or []
        if kind is None or not position.isdigit() or int(position) >= len(items):
            return None
        item = items[int(position)]
        key = item.get(key_name(kind)) if isinstance(item, Mapping) else None
        return Ref(kind, key) if isinstance(key, str) else None


def bundle(subject: Ref, document: Mapping[str, Any], *, viewer: Viewer, stamp: str) -> Bundle:
    """The draft and, of the names it uses, those that exist only as drafts, and so on."""
    zone = project_zone()
    whole: dict[str, list[Any]] = {SECTIONS[subject.kind]: [document]}
    stamps = {subject: stamp}
    drafts = {
        Ref(draft.kind, draft.key): draft
        for draft in visible_drafts(viewer).filter(base_version=0).exclude(kind="program")
    }
    waiting: list[Mapping[str, list[Any]]] = [whole]
    while waiting:
        reading = read_sources([Source("", waiting.pop())], project_zone=zone)
        for ref in dict.fromkeys(use.ref for entry in reading.patch.values() for use in entry.uses):
            draft = drafts.get(ref)
            if draft is None or ref in stamps or definition_of(ref, viewer=viewer) is not None:
                continue
            whole.setdefault(SECTIONS[ref.kind], []).append(draft.document)
            stamps[ref] = f"{draft.pk}.{draft.revision}"
            waiting.append({SECTIONS[ref.kind]: [draft.document]})
    companions = tuple(ref for ref in stamps if ref != subject)
    return Bundle(subject, whole, companions, stamps)
