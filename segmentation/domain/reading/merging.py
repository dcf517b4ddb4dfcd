"""From findings about a catalog back to the document that caused them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from ..dependencies import Graph, Ref, dependents_of
from ..errors import Problem
from .checks import Candidate, Finding
from .entries import Entry

VERSION_MARK = "@"  # in the key of a program's older version that still applies


def owner(ref: Ref) -> Ref:
    """The definition that a reference of an older version belongs to."""
    return Ref(ref.kind, ref.key.split(VERSION_MARK)[0])


def locate(
    findings: Iterable[Finding], candidate: Candidate, patch: Mapping[Ref, Entry]
) -> tuple[tuple[int, Problem], ...]:
    """Each finding with the position of its document and its place there.

    A finding about a stored definition is put where the document causes it: at the nearest entry
    that the stored one depends on. What no entry causes was there before and is left out, as are
    stored dependents of a retired definition: `retirement_problems` lists those.
    """
    problems: dict[tuple[int, Problem], None] = {}
    for finding in findings:
        entry = candidate.entries[finding.ref]
        if entry.source is not None:
            problems[entry.source, Problem(finding.path, finding.code, finding.message)] = None
            continue
        if finding.about in candidate.retired or finding.code == "cycle":
            continue  # what is stored has no cycle: an entry of the patch is in it and reported
        cause = _cause(finding, candidate.graph, patch)
        if cause is not None and cause.source is not None:
            message = f"{finding.ref} would no longer be valid: {finding.message}"
            problems[cause.source, Problem(cause.path, finding.code, message)] = None
    return tuple(problems)


def _cause(finding: Finding, graph: Graph, patch: Mapping[Ref, Entry]) -> Entry | None:
    if finding.about in patch:
        return patch[finding.about]
    waiting = deque([finding.about, finding.ref])
    seen = set(waiting)
    while waiting:
        ref = waiting.popleft()
        if ref in patch:
            return patch[ref]
        for following in graph.get(ref, ()):
            if following not in seen:
                seen.add(following)
                waiting.append(following)
    return patch.get(owner(finding.ref))


def retirement_problems(
    candidate: Candidate, patch: Mapping[Ref, Entry]
) -> tuple[tuple[int, Problem], ...]:
    """Retired definitions that something still depends on, with the dependents (case S05)."""
    problems: list[tuple[int, Problem]] = []
    for ref in candidate.retired:
        dependents = dependents_of(candidate.graph, ref)
        entry = patch[ref]
        if dependents and entry.source is not None:
            names = ", ".join(str(dependent) for dependent in dependents)
            message = f"{ref} is used by {names}; retire or change them in the same document."
            problems.append((entry.source, Problem(entry.path, "has_dependents", message)))
    return tuple(problems)
