"""The stored programs, and the set of all definitions that a run is computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import transaction

from membership.domain.candidates import StoredProgram
from membership.domain.programs import Program, ProgramVersion
from membership.domain.reading import applicable_versions, read_version
from membership.domain.writing import write_program
from membership.models import Program as ProgramRow
from segmentation.domain.definitions import Catalog, Label
from segmentation.domain.reading import Report, Use, build_catalog, load_value
from segmentation.domain.writing import Document, digest
from segmentation.models import DefinitionSet
from segmentation.queries import installation
from segmentation.services.definitions import lock_definitions, read_stored, stored_document

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
        stored = _read_program(
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


def load_definition_set(stored: DefinitionSet) -> tuple[Catalog, tuple[Program, ...]]:
    """The catalog and programs of a set, exactly as they were when it was made (case P08)."""
    document = stored.document
    sections = {name: document[name] for name in ("tags", "metrics", "layerings", "segments")}
    programs = tuple(_read_program(program).program for program in document["programs"])
    return build_catalog(read_stored(sections)), programs


def _read_program(document: Mapping[str, Any]) -> StoredProgram:
    """A program as `write_program` wrote it, with the uses of each version."""
    label = document["label"]
    versions: list[ProgramVersion] = []
    uses: dict[int, tuple[Use, ...]] = {}
    for version in document["versions"]:
        report = Report()
        content = {name: value for name, value in version.items() if name != "number"}
        named: list[Use] = []
        read = read_version(load_value(content, report), named, number=version["number"])
        if read is None:
            first = report.problems[0]
            raise ValueError(f"program {document['key']}: {first.path}: {first.message}")
        versions.append(read)
        uses[read.number] = tuple(named)
    program = Program(
        key=document["key"],
        label=Label(label["en"], label["zh-hans"]),
        timezone=document["timezone"],
        versions=tuple(versions),
    )
    return StoredProgram(program, uses)
