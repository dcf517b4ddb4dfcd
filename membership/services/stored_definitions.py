"""What is stored of all definitions, what stored facts forbid, and writing what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from django.utils.translation import gettext as _

from membership.domain.candidates import Stored
from membership.domain.programs import ProgramVersion
from membership.domain.reading import ProgramDraft
from membership.domain.writing import write_version
from membership.models import Membership, Tier
from membership.models import Program as ProgramRow
from membership.models import ProgramVersion as ProgramVersionRow
from segmentation.domain.definitions import TagGroup
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import Problem
from segmentation.domain.reading import Entry, read_stored
from segmentation.domain.writing import Document, write_label
from segmentation.models import CustomerList
from segmentation.services.definitions import (
    MODELS,
    Change,
    change_to,
    customers_with_several_values,
    store_changes,
    stored_document,
    tag_values_in_use,
)

from .definitions import stored_programs


def stored_definitions() -> Stored:
    """Everything stored, to apply a document to; read under the definitions lock."""
    living = {entry.ref: entry for entry in read_stored(stored_document())}
    retired = {
        Ref(kind, key)
        for kind, model in MODELS.items()
        for key in model._default_manager.exclude(retired_at=None).values_list("key", flat=True)
    }
    programs = {stored.program.key: stored for stored in stored_programs(include_retired=True)}
    for key, stored in programs.items():
        if stored.is_retired:
            retired.add(Ref("program", key))
        else:
            living[Ref("program", key)] = stored.as_entry()
    lists = CustomerList.objects.filter(retired_at=None).values_list("key", "is_hidden")
    return Stored(living, frozenset(retired), programs, dict(lists))


def conflicts(stored: Stored, patch: Mapping[Ref, Entry]) -> tuple[tuple[int, Problem], ...]:
    """Changes that stored facts or memberships forbid."""
    found: list[tuple[int, Problem]] = []
    for ref, entry in patch.items():
        known = stored.living.get(ref)
        if known is None or known.definition == entry.definition:
            continue
        if isinstance(entry.definition, TagGroup):
            problem = _tag_conflict(entry, entry.definition)
        elif ref.kind == "program":
            problem = _program_conflict(entry)
        else:
            continue
        if problem is not None:
            found.append((entry.source or 0, problem))
    return tuple(found)


def _tag_conflict(entry: Entry, group: TagGroup) -> Problem | None:
    in_use = tag_values_in_use(group.key)
    kept = () if group.is_derived else group.values
    lost = {value: count for value, count in in_use.items() if value not in kept}
    if lost:
        shown = ", ".join(f'"{value}" ({count})' for value, count in list(lost.items())[:10])
        message = _("Customers still have these values, which the change removes: %(values)s.")
        return Problem(entry.path, "in_use", message % {"values": shown})
    several = customers_with_several_values(group.key) if group.exclusive else 0
    if several:
        message = _("%(count)d customers have several values, so the tag can't become exclusive.")
        return Problem(entry.path, "in_use", message % {"count": several})
    return None


def _program_conflict(entry: Entry) -> Problem | None:
    """Removing a tier that has members needs a mapping to another one (case P05)."""
    if not entry.is_retired and not isinstance(entry.definition, ProgramDraft):
        return None  # unreadable, reported already
    kept: set[str] = set()
    if isinstance(entry.definition, ProgramDraft):
        kept = {tier.key for tier in entry.definition.version.tiers}
    held = Membership.objects.filter(program__key=entry.ref.key).values_list("tier", flat=True)
    lost = sorted(set(held.distinct()) - kept)
    if not lost:
        return None
    message = _(
        "These tiers have members: %(tiers)s. Moving members of a removed tier to another one is "
        "part of a later release; keep the tiers."
    )
    return Problem(entry.path, "not_available", message % {"tiers": ", ".join(lost)})


def publish(stored: Stored, entries: Sequence[Entry], *, actor: str, now: datetime) -> None:
    """Write each entry as a new version, inside the caller's transaction, lock and context."""
    for kind, model in MODELS.items():
        changes = [
            change_to(
                entry.ref,
                stored.living[entry.ref].definition if entry.is_retired else entry.definition,
                is_retired=entry.is_retired,
            )
            for entry in entries
            if entry.ref.kind == kind
        ]
        if changes:
            store_changes(model, changes, actor=actor, now=now)
    programs = [entry for entry in entries if entry.ref.kind == "program"]
    if programs:
        _publish_programs(stored, programs, actor=actor, now=now)


def _publish_programs(
    stored: Stored, entries: Sequence[Entry], *, actor: str, now: datetime
) -> None:
    drafts: dict[str, ProgramDraft] = {}
    changes: list[Change] = []
    numbers: dict[str, int] = {}
    for entry in entries:
        key = entry.ref.key
        known = stored.programs.get(key)
        definition = stored.living[entry.ref].definition if entry.is_retired else entry.definition
        if not isinstance(definition, ProgramDraft):
            raise TypeError(f"{entry.ref} is not readable")
        newest = known.program.versions[-1] if known else None
        numbers[key] = newest.number if newest else 0
        if newest is None or replace(newest, number=0) != definition.version:
            drafts[key] = definition
            numbers[key] += 1
        changes.append(_program_change(entry, definition, numbers[key]))
    rows = store_changes(ProgramRow, changes, actor=actor, now=now)
    for key, draft in drafts.items():
        _store_version(rows[key], draft.version, number=numbers[key], actor=actor, now=now)


def _program_change(entry: Entry, draft: ProgramDraft, number: int) -> Change:
    document: Document = {
        "key": draft.key,
        "label": write_label(draft.label),
        "timezone": draft.timezone,
    }
    return Change(
        ref=entry.ref,
        label=draft.label,
        document=document,
        fields={"timezone": draft.timezone},
        is_retired=entry.is_retired,
        published={**document, "version": {"number": number, **write_version(draft.version)}},
    )


def _store_version(
    program: ProgramRow, version: ProgramVersion, *, number: int, actor: str, now: datetime
) -> None:
    row = ProgramVersionRow.objects.create(
        program=program,
        number=number,
        effective_from=version.effective_from,
        document=write_version(version),
        actor=actor,
        published_at=now,
    )
    Tier.objects.bulk_create(
        Tier(
            version=row,
            key=tier.key,
            rank=tier.rank,
            label_en=tier.label.en,
            label_zh_hans=tier.label.zh_hans,
        )
        for tier in version.tiers
    )
