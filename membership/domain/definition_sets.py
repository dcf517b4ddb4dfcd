"""Definition sets and stored programs as data: what a run was computed from, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segmentation.domain.definitions import Catalog, Label
from segmentation.domain.reading import Report, Use, build_catalog, load_value, read_stored

from .candidates import StoredProgram
from .programs import Program, ProgramVersion
from .reading import read_version


def read_definition_set(document: Mapping[str, Any]) -> tuple[Catalog, tuple[Program, ...]]:
    """The catalog and programs of a set, exactly as they were when it was made (case P08)."""
    sections = {name: document[name] for name in ("tags", "metrics", "layerings", "segments")}
    programs = tuple(read_stored_program(program).program for program in document["programs"])
    return build_catalog(read_stored(sections)), programs


def read_stored_program(document: Mapping[str, Any]) -> StoredProgram:
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
