"""Applying definitions documents: read, check against everything stored, publish what changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import pghistory
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from membership.domain.candidates import Stored, build_candidate, judge, warnings_of
from membership.domain.documents import Located, Source, in_order, read_sources
from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import NotAvailableError, Problem, TierwiseError
from segmentation.domain.reading import Entry
from segmentation.domain.reading.checks import Candidate
from segmentation.services.definitions import lock_definitions
from segmentation.services.promotion_calendar import refuse_frozen

from .definitions import project_zone
from .stored_definitions import conflicts, publish, stored_definitions

__all__ = ["Applied", "Checked", "Source", "apply_document", "apply_documents", "check_documents"]

KIND_ORDER = ("tag", "metric", "layering", "segment", "program")


@dataclass(frozen=True, slots=True)
class Applied:
    """What a document did, or with a dry run would do; each definition as `kind:key`."""

    created: tuple[str, ...]
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    warnings: tuple[Problem, ...]

    def as_document(self) -> dict[str, Any]:
        return {
            "created": list(self.created),
            "changed": list(self.changed),
            "unchanged": list(self.unchanged),
            "warnings": [asdict(warning) for warning in self.warnings],
        }


@dataclass(frozen=True, slots=True)
class Checked:
    """Documents that may be applied: what is stored, what they say and what that comes to."""

    stored: Stored
    patch: Mapping[Ref, Entry]
    candidate: Candidate
    created: tuple[Ref, ...]
    changed: tuple[Ref, ...]
    unchanged: tuple[Ref, ...]
    warnings: tuple[Problem, ...]


def check_documents(sources: Sequence[Source], *, stored: Stored | None = None) -> Checked:
    """Read documents and check them against everything stored, with all problems at once.

    Runs inside the caller's transaction and definitions lock. `stored` None: what is stored now.
    Raises like `apply_documents`.
    """
    zone = project_zone()
    reading = read_sources(sources, project_zone=zone)
    patch = reading.patch
    if stored is None:
        stored = stored_definitions()
    candidate = build_candidate(stored, patch)
    problems = [*reading.problems]
    problems += judge(candidate, stored=stored, patch=patch, project_zone=zone)
    problems += conflicts(stored, patch)
    if problems:
        raise _error(problems, sources)
    created, changed, unchanged = _sorted_out(stored, patch)
    return Checked(
        stored=stored,
        patch=patch,
        candidate=candidate,
        created=tuple(created),
        changed=tuple(changed),
        unchanged=tuple(unchanged),
        warnings=in_order([*reading.warnings, *warnings_of(candidate, patch)], sources),
    )


def apply_documents(
    sources: Sequence[Source],
    *,
    actor: str,
    reason: str,
    now: datetime,
    dry_run: bool = False,
    project_now: datetime | None = None,
    override_freeze: str = "",
) -> Applied:
    """Make the documents, taken together, current: all of it or nothing.

    A patch: definitions it does not name stay. Applying the same again changes nothing. Two
    applies never interleave. `now` is the real clock's; `actor` and `reason` go to the audit.
    `project_now`: the project's clock, by which publishing may be frozen (None: it is not asked);
    `override_freeze` says why it can't wait. Raises TierwiseError with every problem found, or
    `frozen`, NotAvailableError when all of them belong to a later release.
    """
    with transaction.atomic(), pghistory.context(actor=actor, reason=reason):
        lock_definitions(exclusive=True)
        found = check_documents(sources)
        if not dry_run and project_now is not None and (found.created or found.changed):
            reason = refuse_frozen(
                project_now, reason=reason, override=override_freeze, may_override=True
            )
        if not dry_run:
            entries = [found.patch[ref] for ref in (*found.created, *found.changed)]
            with pghistory.context(actor=actor, reason=reason):
                publish(found.stored, entries, actor=actor, now=now)
    return Applied(
        created=tuple(map(str, found.created)),
        changed=tuple(map(str, found.changed)),
        unchanged=tuple(map(str, found.unchanged)),
        warnings=found.warnings,
    )


def apply_document(
    document: Mapping[str, Any], *, actor: str, reason: str, now: datetime, dry_run: bool = False
) -> Applied:
    """`apply_documents` for one document that is data already."""
    source = Source("", document)
    return apply_documents([source], actor=actor, reason=reason, now=now, dry_run=dry_run)


def _sorted_out(
    stored: Stored, patch: Mapping[Ref, Entry]
) -> tuple[list[Ref], list[Ref], list[Ref]]:
    """Created, changed and unchanged, in the order of the contract's sections."""
    created: list[Ref] = []
    changed: list[Ref] = []
    unchanged: list[Ref] = []
    for ref in sorted(patch, key=lambda ref: KIND_ORDER.index(ref.kind)):
        entry, known = patch[ref], stored.living.get(ref)
        if entry.is_retired:
            (unchanged if known is None else changed).append(ref)
        elif known is None:
            created.append(ref)
        elif known.definition == entry.definition:
            unchanged.append(ref)
        else:
            changed.append(ref)
    return created, changed, unchanged


def _error(located: Sequence[Located], sources: Sequence[Source]) -> TierwiseError:
    problems = in_order(located, sources)
    if all(problem.code == "not_available" for problem in problems):
        message = _("This is part of a later release; nothing was applied.")
        return NotAvailableError(message, problems=problems)
    message = ngettext(
        "The definitions have a problem; nothing was applied.",
        "The definitions have %(count)d problems; nothing was applied.",
        len(problems),
    ) % {"count": len(problems)}
    return TierwiseError(message, problems=problems)
