"""The definitions as a patch would leave them, and everything that would be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import Problem
from segmentation.domain.reading import Entry, Use
from segmentation.domain.reading.checks import UNKNOWN, Candidate, Finding, check
from segmentation.domain.reading.merging import (
    VERSION_MARK,
    locate,
    owner,
    retirement_problems,
)

from .checking import check_zone, slow_upgrades
from .documents import Located
from .programs import Program, ProgramVersion
from .reading import ProgramDraft, applicable_versions


@dataclass(frozen=True, slots=True)
class StoredProgram:
    """A program with all its versions, and what each version names, by number."""

    program: Program
    uses: Mapping[int, tuple[Use, ...]]
    is_retired: bool = False

    def as_entry(self) -> Entry:
        """The program as a document that names only its newest version would say it."""
        newest = self.program.versions[-1]
        program = self.program
        draft = ProgramDraft(
            program.key, program.label, program.timezone, replace(newest, number=0)
        )
        return Entry(Ref("program", program.key), "", self.uses[newest.number], draft)


@dataclass(frozen=True, slots=True)
class Stored:
    """All living definitions as entries, and what is known of the retired ones.

    `lists` are the living customer lists: by key whether it is hidden.
    """

    living: Mapping[Ref, Entry] = field(default_factory=dict)
    retired: frozenset[Ref] = frozenset()
    programs: Mapping[str, StoredProgram] = field(default_factory=dict)  # retired ones too
    lists: Mapping[str, bool] = field(default_factory=dict)

    def older_versions(
        self, key: str, draft: ProgramDraft | None
    ) -> tuple[tuple[ProgramVersion, tuple[Use, ...]], ...]:
        """The versions of a program that still apply below its newest one, with their uses.

        The newest is `draft`'s version if there is a draft, else the stored newest.
        """
        stored = self.programs.get(key)
        if stored is None:
            return ()
        versions = stored.program.versions
        newest = versions[-1]
        if draft is not None and draft.version != replace(newest, number=0):
            newest = replace(draft.version, number=newest.number + 1)
            versions = (*versions, newest)
        program = replace(stored.program, versions=versions)
        return tuple(
            (version, stored.uses[version.number])
            for version in applicable_versions(program)
            if version.number != newest.number
        )


def build_candidate(stored: Stored, patch: Mapping[Ref, Entry]) -> Candidate:
    """Stored definitions with the patch on top, older versions that still apply included."""
    retired = tuple(
        ref for ref, entry in patch.items() if entry.is_retired and ref in stored.living
    )
    entries = {ref: entry for ref, entry in stored.living.items() if ref not in patch}
    entries |= {ref: entry for ref, entry in patch.items() if not entry.is_retired}
    tiers: dict[str, tuple[str, ...] | None] = {}
    for ref in [ref for ref in entries if ref.kind == "program"]:
        definition = entries[ref].definition
        draft = definition if isinstance(definition, ProgramDraft) else None
        older = stored.older_versions(ref.key, draft if ref in patch else None)
        for version, uses in older:
            marked = Ref("program", f"{ref.key}{VERSION_MARK}{version.number}")
            entries[marked] = Entry(marked, "", uses=uses, definition=version)
        if draft is None:
            tiers[ref.key] = None
        else:
            versions = (draft.version, *(version for version, _uses in older))
            tiers[ref.key] = tuple(
                dict.fromkeys(tier.key for version in versions for tier in version.tiers)
            )
    return Candidate(entries=entries, retired=retired, tiers=tiers, lists=stored.lists)


def judge(
    candidate: Candidate, *, stored: Stored, patch: Mapping[Ref, Entry], project_zone: str
) -> tuple[Located, ...]:
    """Every problem of the definitions as they would be, each where the patch causes it."""
    findings: list[Finding] = list(check(candidate))
    for ref, entry in candidate.entries.items():
        program = candidate.entries.get(owner(ref)) if ref.kind == "program" else None
        if program is not None and isinstance(program.definition, ProgramDraft):
            findings += check_zone(
                candidate,
                entry,
                timezone=program.definition.timezone,
                project_zone=project_zone,
            )
    return (
        *locate(findings, candidate, patch),
        *retirement_problems(candidate, patch),
        *_never_defined(stored, patch),
    )


def _never_defined(stored: Stored, patch: Mapping[Ref, Entry]) -> Iterator[Located]:
    for ref, entry in patch.items():
        if entry.is_retired and ref not in stored.living and ref not in stored.retired:
            message = f"{ref} does not exist, so it can't be retired."
            yield entry.source or 0, Problem(entry.path, UNKNOWN[ref.kind][0], message)


def warnings_of(candidate: Candidate, patch: Mapping[Ref, Entry]) -> tuple[Located, ...]:
    """What is allowed but probably not meant, each where the patch causes it."""
    return tuple(
        dict.fromkeys(
            found
            for ref, entry in candidate.entries.items()
            if ref.kind == "program" and owner(ref) == ref
            for found in _slow_upgrades(candidate, entry, patch)
        )
    )


def _slow_upgrades(
    candidate: Candidate, program: Entry, patch: Mapping[Ref, Entry]
) -> Iterator[Located]:
    """At the program's rule; for a stored program at the metric, if the patch names that."""
    for metric, path, message in slow_upgrades(candidate, program):
        if program.source is not None:
            yield program.source, Problem(path, "upgrade_not_today", message)
        elif (cause := patch.get(metric)) is not None:
            told = f"{program.ref}: {message}"
            yield cause.source or 0, Problem(cause.path, "upgrade_not_today", told)
