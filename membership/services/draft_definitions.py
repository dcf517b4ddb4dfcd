"""What the definitions would be with a document applied, and which of them that touches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from membership.domain.candidates import Stored
from membership.domain.programs import Program, ProgramVersion
from membership.domain.reading import ProgramDraft, applicable_versions
from membership.models import Program as ProgramRow
from segmentation.domain.definitions import Catalog, Segment
from segmentation.domain.dependencies import (
    Ref,
    catalog_graph,
    dependents_of,
    rule_refs,
    topological_order,
)
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading import Entry, build_catalog
from segmentation.models import Run
from segmentation.permissions import Viewer, hidden_words, may_see_hidden, mentions_hidden
from segmentation.services.definitions import MODELS, lock_definitions

from .applying import Checked, Source, check_documents
from .stored_definitions import stored_definitions
from .tier_changes import version_at

KINDS = ("tag", "metric", "layering", "segment")


@dataclass(frozen=True, slots=True)
class DraftDefinitions:
    """Everything as a document would leave it.

    `before` is the catalog without the document. `versions` are the stored versions that the
    document starts from, 0 for a new definition.
    """

    checked: Checked
    catalog: Catalog
    programs: tuple[Program, ...]
    before: Catalog
    versions: Mapping[Ref, int]

    @property
    def touched(self) -> tuple[Ref, ...]:
        """What the document creates, changes or retires."""
        return (*self.checked.created, *self.checked.changed)

    def was_hidden(self, ref: Ref) -> bool:
        """Whether a definition is a hidden segment without the document."""
        return ref.kind == "segment" and _hides(self.before, ref.key)

    def will_be_hidden(self, ref: Ref) -> bool:
        """Whether a definition is a hidden segment with the document."""
        return ref.kind == "segment" and _hides(self.catalog, ref.key)

    def is_hidden(self, ref: Ref) -> bool:
        """Whether a definition is a segment that is, or would be, hidden."""
        return self.was_hidden(ref) or self.will_be_hidden(ref)


def _hides(catalog: Catalog, key: str) -> bool:
    segment = catalog.segments.get(key)
    return segment is not None and segment.visibility == "hidden"


def draft_definitions(document: Mapping[str, Any], *, viewer: Viewer) -> DraftDefinitions:
    """Read and check a document like `apply_documents` does; nothing is written.

    Raises TierwiseError with every problem. To a viewer who must not know of hidden segments and
    lists their names are unknown, and what a hidden segment would object to says no more than that.
    """
    source = Source("", document)
    with transaction.atomic():
        lock_definitions(exclusive=False)
        stored = stored_definitions()
        if not may_see_hidden(viewer):
            # First as if nothing hidden existed, so that what can't be seen is simply unknown.
            _refuse_hidden(stored, check_documents([source], stored=_seen(stored)).patch)
        try:
            checked = check_documents([source], stored=stored)
        except TierwiseError as error:
            raise _without_hidden(error, viewer) from error
        versions = _versions((*checked.created, *checked.changed, *checked.unchanged))
    kept = tuple(e for ref, e in checked.candidate.entries.items() if ref.kind != "program")
    return DraftDefinitions(
        checked=checked,
        catalog=build_catalog(kept),
        programs=_programs(checked),
        before=build_catalog(
            tuple(e for ref, e in checked.stored.living.items() if ref.kind != "program")
        ),
        versions=versions,
    )


def _programs(checked: Checked) -> tuple[Program, ...]:
    """The living programs by key, numbered as publishing would number them."""
    found: list[Program] = []
    for ref in sorted(ref for ref in checked.candidate.entries if ref.kind == "program"):
        draft = checked.candidate.entries[ref].definition
        if not isinstance(draft, ProgramDraft):
            continue  # an older version that still applies: it is in the program's own list
        stored = checked.stored.programs.get(ref.key)
        versions = stored.program.versions if stored else ()
        newest = versions[-1] if versions else None
        if newest is None or replace(newest, number=0) != draft.version:
            number = newest.number + 1 if newest else 1
            versions = (*versions, replace(draft.version, number=number))
        program = Program(ref.key, draft.label, draft.timezone, versions)
        found.append(replace(program, versions=applicable_versions(program)))
    return tuple(found)


def _versions(refs: Iterable[Ref]) -> dict[Ref, int]:
    wanted: dict[str, set[str]] = {}
    for ref in refs:
        wanted.setdefault(ref.kind, set()).add(ref.key)
    found = {Ref(kind, key): 0 for kind, keys in wanted.items() for key in keys}
    for kind, keys in wanted.items():
        model = ProgramRow if kind == "program" else MODELS[kind]
        rows = model._default_manager.filter(key__in=keys).values_list("key", "version")
        found |= {Ref(kind, key): version for key, version in rows}
    return found


def _is_hidden(entry: Entry) -> bool:
    segment = entry.definition
    return isinstance(segment, Segment) and segment.visibility == "hidden"


def _seen(stored: Stored) -> Stored:
    """What is stored, without anything hidden; nothing else reads what is hidden."""
    return replace(
        stored,
        living={ref: entry for ref, entry in stored.living.items() if not _is_hidden(entry)},
        lists={key: False for key, is_hidden in stored.lists.items() if not is_hidden},
    )


def _refuse_hidden(stored: Stored, patch: Mapping[Ref, Entry]) -> None:
    """A document that makes or changes something hidden, from somebody without the right."""
    problems: list[Problem] = []
    for ref, entry in patch.items():
        known = stored.living.get(ref)
        if known is not None and _is_hidden(known):
            message = _("The key %(key)s can't be used; choose another one.") % {"key": ref.key}
            problems.append(Problem(entry.path, "invalid_key", message))
        elif _is_hidden(entry):
            message = _("You may not make restricted segments.")
            problems.append(Problem(entry.path, "forbidden", message))
    if problems:
        raise TierwiseError(problems[0].message, problems=tuple(problems))


def _without_hidden(error: TierwiseError, viewer: Viewer) -> TierwiseError:
    """The same error; where a problem names something hidden, only that there is one."""
    words = hidden_words(viewer)
    if not words:
        return error
    problems = tuple(
        replace(problem, code="not_possible", message=_("This can't be used here."))
        if mentions_hidden(problem.message, words=words)
        else problem
        for problem in error.problems
    )
    return type(error)(error.message, code=error.code, problems=problems)


@dataclass(frozen=True, slots=True)
class Reach:
    """What a set of definitions means for the rest at one as-of.

    `dependents` read them, directly or through others; `needed` is all that has to be computed to
    know them and their dependents.
    """

    dependents: tuple[Ref, ...]
    needed: Mapping[str, frozenset[str]]
    programs: tuple[tuple[Program, ProgramVersion], ...]  # with a version in force


def reach(draft: DraftDefinitions, refs: Iterable[Ref], *, as_of: datetime) -> Reach:
    """How far a change of `refs` goes."""
    running = tuple(
        (program, version)
        for program in draft.programs
        if (version := version_at(program, as_of)) is not None
    )
    graph = catalog_graph(draft.catalog)
    promised = {
        Ref("program", program.key): tuple(
            dict.fromkeys(ref for tier in version.tiers for ref in rule_refs(tier.rule))
        )
        for program, version in running
    }
    wanted = tuple(refs)
    users = graph | promised
    dependents = {
        user for ref in wanted for user in dependents_of(users, ref, transitive=True)
    }.difference(wanted)
    roots = [ref for ref in (*wanted, *dependents) if ref in graph]
    roots += [ref for user in (*wanted, *dependents) for ref in promised.get(user, ())]
    needed: dict[str, set[str]] = {kind: set() for kind in KINDS}
    for ref in topological_order(graph, roots):
        if ref.kind in needed:
            needed[ref.kind].add(ref.key)
    ordered = sorted(dependents, key=lambda ref: (ref.kind == "program", ref.kind, ref.key))
    return Reach(
        dependents=tuple(ordered),
        needed={kind: frozenset(keys) for kind, keys in needed.items()},
        programs=running,
    )


def change_digest(document: Mapping[str, Any], *, draft: DraftDefinitions, run: Run | None) -> str:
    """SHA-256 over a document, the versions it starts from and the run it is compared with."""
    content = {
        "document": document,
        "versions": {str(ref): version for ref, version in draft.versions.items()},
        "run": None if run is None else run.pk,
    }
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()
