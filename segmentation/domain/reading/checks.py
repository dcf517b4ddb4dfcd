"""What only the whole catalog can tell: names, cycles, forbidden inputs, complexity.

The checks see the catalog as it would be: stored definitions with a document's entries on top.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from ..definitions import FactMetric, FormulaMetric, Layering, Segment, TagGroup
from ..dependencies import Graph, Ref, chains_from, find_cycles
from .entries import Entry, Use
from .place import did_you_mean, pointer

MAX_FRACTIONS = 2
# A formula's exact value is a whole number of 10^-n: with n above 18 it would not fit 38 digits.
MAX_DECIMALS = 18
_DECIMALS_OF_MONEY = 4
RESTRICTED_ATTRS = ("gender", "birth_date")
RESTRICTED_PURPOSES = ("service", "research")
# Per kind: code and word for an unknown name, code and word for an unknown value of it.
UNKNOWN = {
    "tag": ("unknown_tag_group", "tag group", "unknown_tag_value", "value"),
    "metric": ("unknown_metric", "metric", "", ""),
    "layering": ("unknown_layer", "layering", "unknown_value", "layer"),
    "segment": ("unknown_segment", "segment", "", ""),
    "list": ("unknown_list", "list", "", ""),
    "program": ("unknown_program", "program", "unknown_tier", "tier"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of one definition; `about` is what it trips over."""

    ref: Ref
    path: str
    code: str
    message: str
    about: Ref


@dataclass(frozen=True, slots=True)
class Candidate:
    """The catalog as it would be.

    `retired` are the definitions that a document ends. `tiers` are the tier keys of each program,
    None where its version could not be read. `lists` are the customer lists there are: no part of
    any document, by key whether it is hidden.
    """

    entries: Mapping[Ref, Entry]
    retired: Collection[Ref]
    tiers: Mapping[str, tuple[str, ...] | None]
    lists: Mapping[str, bool] = field(default_factory=dict)
    graph: Graph = field(init=False)
    # Without programs: a `tier` leaf reads what was before the run.
    evaluated: Graph = field(init=False)
    _chains: dict[Ref, dict[Ref, tuple[Ref, ...]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        graph = {
            ref: tuple(dict.fromkeys(use.ref for use in entry.uses))
            for ref, entry in self.entries.items()
        }
        object.__setattr__(self, "graph", graph)
        evaluated = {ref: used for ref, used in graph.items() if ref.kind != "program"}
        object.__setattr__(self, "evaluated", evaluated)

    def reach(self, ref: Ref) -> Mapping[Ref, tuple[Ref, ...]]:
        """Everything below `ref` and itself, with chains from it; never through a program."""
        if ref not in self._chains:
            found: dict[Ref, tuple[Ref, ...]] = {ref: (ref,)}
            if ref.kind != "program":
                found |= chains_from(self.evaluated, ref)
            self._chains[ref] = found
        return self._chains[ref]

    def vocabulary(self, ref: Ref) -> tuple[str, ...] | None:
        """The values that a use of `ref` may name; None when that can't be told."""
        if ref.kind == "program":
            return self.tiers.get(ref.key)
        definition = self.entries[ref].definition
        if isinstance(definition, TagGroup):
            return definition.values
        return definition.layers if isinstance(definition, Layering) else None


def check(candidate: Candidate) -> tuple[Finding, ...]:
    """Everything that is wrong with the catalog, definition by definition."""
    found: list[Finding] = []
    for entry in candidate.entries.values():
        for use in entry.uses:
            found += _check_use(candidate, entry, use)
        found += _check_segment(candidate, entry)
        found += _check_program(candidate, entry)
        found += _check_formula(candidate, entry)
    found += _check_cycles(candidate)
    return tuple(dict.fromkeys(found))


def _check_use(candidate: Candidate, entry: Entry, use: Use) -> Iterator[Finding]:
    if use.ref.kind == "attr":
        return
    code, noun, value_code, value_noun = UNKNOWN[use.ref.kind]
    if use.ref.kind == "list":
        yield from _check_list(candidate, entry, use)
        return
    if use.ref not in candidate.entries:
        if use.ref in candidate.retired:
            why = f'The {noun} "{use.ref.key}" is retired.'
        else:
            same = [ref.key for ref in candidate.entries if ref.kind == use.ref.kind]
            why = f'No {noun} "{use.ref.key}".{did_you_mean(use.ref.key, same)}'
        yield Finding(entry.ref, use.path, code, why, use.ref)
        return
    known = candidate.vocabulary(use.ref)
    for value in use.values if known is not None else ():
        if value not in known:  # type: ignore[operator]  # not None, see above
            why = f'The {noun} "{use.ref.key}" has no {value_noun} "{value}".'
            hint = did_you_mean(value, known or ())
            yield Finding(entry.ref, use.path, value_code, why + hint, use.ref)


def _check_list(candidate: Candidate, entry: Entry, use: Use) -> Iterator[Finding]:
    key = use.ref.key
    if key not in candidate.lists:
        why = f'No list "{key}".{did_you_mean(key, list(candidate.lists))}'
        yield Finding(entry.ref, use.path, UNKNOWN["list"][0], why, use.ref)
        return
    user = entry.definition
    if candidate.lists[key] and not (isinstance(user, Segment) and user.visibility == "hidden"):
        why = f'The list "{key}" is hidden, so only a hidden segment can use it.'
        yield Finding(entry.ref, use.path, "forbidden_input", why, use.ref)


def _check_segment(candidate: Candidate, entry: Entry) -> Iterator[Finding]:
    segment = entry.definition
    if not isinstance(segment, Segment):
        return
    for use in entry.uses:
        used = candidate.entries.get(use.ref)
        if segment.visibility != "hidden":
            if used and isinstance(used.definition, Segment):
                other = used.definition
                if other.visibility == "hidden":
                    why = f'"{other.key}" is hidden, so a segment that uses it must be hidden too.'
                    yield Finding(entry.ref, use.path, "forbidden_input", why, use.ref)
            continue
        for ref, chain in candidate.reach(use.ref).items():
            why = _forbidden(candidate, segment, ref)
            if why:
                yield Finding(
                    entry.ref, use.path, "forbidden_input", why + _through(chain), use.ref
                )


def _forbidden(candidate: Candidate, segment: Segment, ref: Ref) -> str:
    """Why a hidden segment can't be derived from `ref`; "" when it can."""
    if ref.kind == "attr":
        if ref.key in RESTRICTED_ATTRS and segment.purpose not in RESTRICTED_PURPOSES:
            purposes = " or ".join(RESTRICTED_PURPOSES)
            return f'A hidden segment uses "{ref.key}" only with purpose {purposes}.'
        return ""
    used = candidate.entries.get(ref)
    if used and isinstance(used.definition, TagGroup) and used.definition.sensitive:
        return f'A hidden segment can\'t use the tag group "{ref.key}": it is sensitive.'
    return ""


def _through(chain: tuple[Ref, ...]) -> str:
    """How the input comes in, when not directly."""
    if len(chain) < 2:
        return ""
    return f" It comes in through {' -> '.join(f'{ref.kind} {ref.key}' for ref in chain)}."


def _check_program(candidate: Candidate, entry: Entry) -> Iterator[Finding]:
    if entry.ref.kind != "program":
        return
    for use in entry.uses:
        for ref, chain in candidate.reach(use.ref).items():
            used = candidate.entries.get(ref)
            definition = used.definition if used else None
            if isinstance(definition, Segment) and definition.visibility == "hidden":
                why = "A program's rule uses nothing derived from a hidden segment."
                yield Finding(
                    entry.ref, use.path, "forbidden_input", why + _through(chain), use.ref
                )


def _check_formula(candidate: Candidate, entry: Entry) -> Iterator[Finding]:
    if not isinstance(entry.definition, FormulaMetric):
        return
    fractions = [
        ref.key
        for ref in candidate.reach(entry.ref)
        if (used := candidate.entries.get(ref))
        and isinstance(used.definition, FactMetric)
        and used.definition.is_fraction
    ]
    if len(fractions) > MAX_FRACTIONS:
        why = (
            f"A formula adds at most {MAX_FRACTIONS} averages or shares, or it could not be "
            f"compared exactly; this one adds {', '.join(fractions)}."
        )
        path = pointer(entry.path, "formula")
        yield Finding(entry.ref, path, "too_complex", why, Ref("metric", fractions[-1]))
    if (decimals := _decimals(candidate, entry.ref, known={})) > MAX_DECIMALS:
        why = (
            f"The formula and the formulas it adds have {decimals} decimals together, which can't "
            f'be added exactly; at most {MAX_DECIMALS}. Write "times" and "cap" with fewer.'
        )
        path = pointer(entry.path, "formula")
        yield Finding(entry.ref, path, "too_complex", why, entry.ref)


def _decimals(candidate: Candidate, ref: Ref, *, known: dict[Ref, int]) -> int:
    """After how many decimals the exact value of a metric ends; 0 for one that is not there."""
    if ref in known:
        return known[ref]
    known[ref] = 0  # what a cycle finds; it is refused anyway
    entry = candidate.entries.get(ref)
    if entry is not None and isinstance(entry.definition, FormulaMetric):
        for term in entry.definition.terms:
            below = _decimals(candidate, Ref("metric", term.metric), known=known)
            cap = _places(term.cap) if term.cap is not None else 0
            known[ref] = max(known[ref], below + _places(term.times), cap)
    elif entry is not None:
        known[ref] = _DECIMALS_OF_MONEY
    return known[ref]


def _places(number: Decimal) -> int:
    exponent = number.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _check_cycles(candidate: Candidate) -> Iterator[Finding]:
    """One finding for each definition in a cycle, at the use that goes on along it (case S03)."""
    for cycle in find_cycles(candidate.evaluated):
        members = cycle[:-1]
        for position, ref in enumerate(members):
            following = cycle[position + 1]
            turned = (*members[position:], *members[:position], ref)
            why = f"A cycle: {' -> '.join(member.key for member in turned)}. Break it somewhere."
            for use in candidate.entries[ref].uses:
                if use.ref == following:
                    yield Finding(ref, use.path, "cycle", why, following)
