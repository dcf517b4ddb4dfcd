"""The stored programs, and the set of all definitions that a run is computed from."""

from __future__ import annotations

from dataclasses import replace

from django.conf import settings
from django.db import transaction

from membership.domain.candidates import StoredProgram
from membership.domain.definition_sets import read_stored_program
from membership.domain.programs import Program
from membership.domain.reading import applicable_versions
from membership.domain.writing import write_program
from membership.models import Program as ProgramRow
from segmentation.domain.writing import Document, digest
from segmentation.models import DefinitionSet
from segmentation.queries import installation
from segmentation.services.definitions import lock_definitions, stored_document

_FORMAT = 1


def project_zone() -> str:
    """The name of the project's time zone: what was stored at set-up, else the setting."""
    fixed = installation()
    return settings.TIME_ZONE if fixed is None else fixed.time_zone


def stored_programs(*, include_retired: bool = False) -> tuple[StoredProgram, ...]:
    """The living programs by key; on demand the retired ones too."""
    rows = ProgramRow.objects.order_by("key").prefetch_related("versions")
    if not include_retired:
        rows = rows.filter(retired_at=None)
    found: list[StoredProgram] = []
    for row in rows:
        versions = sorted(row.versions.all(), key=lambda version: version.number)
        stored = read_stored_program(
            {
                **row.document,
                "versions": [
                    {"number": version.number, **version.document} for version in versions
                ],
            }
        )
        found.append(replace(stored, is_retired=row.retired_at is not None))
    return tuple(found)


def current_programs() -> tuple[Program, ...]:
    """The living programs by key, each with the versions that apply at some as-of.

    A version that a later one replaces from its first day on is left out: it never applies again,
    and what it names may be retired.
    """
    return tuple(
        replace(stored.program, versions=applicable_versions(stored.program))
        for stored in stored_programs()
    )


def living_tiers() -> frozenset[tuple[str, str]]:
    """(program, tier) of every tier that some version in use has."""
    return frozenset(
        (program.key, tier.key)
        for program in current_programs()
        for version in program.versions
        for tier in version.tiers
    )


def definition_set() -> DefinitionSet:
    """Everything that is current now, as one immutable row shared by all runs with this content.

    Consistent: never half of a document that is being applied.
    """
    with transaction.atomic():
        lock_definitions(exclusive=False)
        document: Document = {
            "format": _FORMAT,
            **stored_document(),
            "programs": [write_program(program) for program in current_programs()],
        }
        row, _is_new = DefinitionSet.objects.get_or_create(
            digest=digest(document), defaults={"document": document}
        )
    return row
