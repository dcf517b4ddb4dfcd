"""Several definitions documents read as one patch, with every problem and its document."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from segmentation.domain.dependencies import Ref
from segmentation.domain.errors import Problem
from segmentation.domain.reading import (
    Entry,
    Report,
    load_text,
    load_value,
    read_document,
    read_entries,
)

from .reading import read_programs

Located = tuple[int, Problem]  # a problem with the position of its document


@dataclass(frozen=True, slots=True)
class Source:
    """One document: its name for messages, and its text or its data."""

    name: str
    content: str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """The entries of all documents by what they define, in document order."""

    patch: Mapping[Ref, Entry]
    problems: tuple[Located, ...]
    warnings: tuple[Located, ...]


def read_sources(sources: Sequence[Source], *, project_zone: str) -> Reading:
    """Read documents that are applied together; a definition in two of them is a problem."""
    patch: dict[Ref, Entry] = {}
    problems: list[Located] = []
    warnings: list[Located] = []
    for position, source in enumerate(sources):
        report = Report()
        if isinstance(source.content, str):
            root = load_text(source.content, report, name=source.name)
        else:
            root = load_value(source.content, report)
        entries: tuple[Entry, ...] = ()
        if root is not None:
            sections = read_document(root)
            entries = read_entries(sections, source=position)
            entries += read_programs(sections, project_zone=project_zone, source=position)
        for entry in entries:
            if entry.ref in patch:
                first = sources[patch[entry.ref].source or 0].name
                message = f"{entry.ref} is defined in {first} already; keep one."
                report.problems.append(Problem(entry.path, "duplicate_key", message))
            else:
                patch[entry.ref] = entry
        problems += [(position, problem) for problem in report.problems]
        warnings += [(position, warning) for warning in report.warnings]
    return Reading(patch, tuple(problems), tuple(warnings))


def in_order(located: Iterable[Located], sources: Sequence[Source]) -> tuple[Problem, ...]:
    """The problems document by document, each once.

    Where there are several documents the message starts with the document's name.
    """
    ordered = sorted(dict.fromkeys(located), key=lambda pair: pair[0])
    return tuple(
        replace(problem, message=f"{sources[position].name}: {problem.message}")
        if len(sources) > 1
        else problem
        for position, problem in ordered
    )
