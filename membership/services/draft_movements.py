"""Who enters and leaves the sets of drafted definitions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from segmentation.domain.definitions import Catalog, TagGroup
from segmentation.domain.dependencies import Ref
from segmentation.engine.drafts import Counted, Question, count_sets, open_sight
from segmentation.engine.plan.metrics import denominator, numerator
from segmentation.engine.plan.rules import layer_column, segment_column, tag_column, tag_flag
from segmentation.models import Run
from segmentation.permissions import Sight

from .draft_runs import DraftRun
from .preview_results import Movement


@dataclass(frozen=True, slots=True)
class _Asked:
    ref: Ref
    value: str | None
    is_new: bool
    question: Question


def movements(found: DraftRun, refs: Sequence[Ref], *, sight: Sight) -> tuple[Movement, ...]:
    """The sets of these definitions, in their order, as `sight` may see them."""
    asked = [one for ref in refs for one in _asked(found, ref)]
    open_sight(
        found.duck,
        only=sight.only,
        erased=sight.withdrawn.erased,
        objecting=sight.withdrawn.objecting,
    )
    counted = count_sets(found.duck, [one.question for one in asked])
    made: dict[Ref, list[Movement]] = {ref: [] for ref in refs}
    for one, count in zip(asked, counted, strict=True):
        made[one.ref].append(_movement(one, count))
    for ref in refs:
        if ref.kind == "program":
            made[ref] = _tier_movements(found, ref)
    return tuple(movement for ref in refs for movement in made[ref])


def set_conditions(found: DraftRun, ref: Ref) -> str:
    """The SQL condition over `v` for being in any of a definition's sets."""
    if ref.kind == "program":
        return f"v.ordinal IN (SELECT ordinal FROM memberships WHERE program = {_text(ref.key)})"
    conditions = [f"coalesce({asked.question.after}, false)" for asked in _asked(found, ref)]
    return " OR ".join(conditions) or "false"


def _movement(asked: _Asked, count: Counted) -> Movement:
    before = None if asked.is_new else count.before
    return Movement(asked.ref, asked.value, before, count.size, count.entered, count.left)


def _asked(found: DraftRun, ref: Ref) -> Iterator[_Asked]:
    after, before = found.draft.catalog, found.before
    match ref.kind:
        case "segment":
            name = segment_column(ref.key)
            question = Question(
                _flag("v", name, ref.key in after.segments),
                _flag("o", name, name in found.columns),
                is_hidden=found.draft.was_hidden(ref),
            )
            yield _Asked(ref, None, name not in found.columns, question)
        case "metric":
            yield _asked_metric(found, ref)
        case "layering":
            name = layer_column(ref.key)
            was = before.layerings[ref.key].layers if ref.key in before.layerings else ()
            layers = after.layerings[ref.key].layers if ref.key in after.layerings else ()
            for layer in dict.fromkeys((*layers, *was)):
                question = Question(
                    _equals("v", name, layer, bool(layers)), _equals("o", name, layer, bool(was))
                )
                yield _Asked(ref, layer, layer not in was, question)
        case "tag":
            groups = (after.tag_groups.get(ref.key), before.tag_groups.get(ref.key))
            was = groups[1].values if groups[1] else ()
            for value in dict.fromkeys((*(groups[0].values if groups[0] else ()), *was)):
                question = Question(_has("v", groups[0], value), _has("o", groups[1], value))
                yield _Asked(ref, value, value not in was, question)


def _asked_metric(found: DraftRun, ref: Ref) -> _Asked:
    """Who has a value."""

    def known(table: str, catalog: Catalog, names: frozenset[str] | None) -> str:
        if ref.key not in catalog.metrics:
            return "false"
        below = denominator(ref.key)
        is_fraction = (
            below in names if names is not None else found.plan.shapes[ref.key].is_fraction
        )
        return f"{table}.{_quoted(below if is_fraction else numerator(ref.key))} IS NOT NULL"

    question = Question(
        known("v", found.draft.catalog, None), known("o", found.before, found.columns)
    )
    return _Asked(ref, None, ref.key not in found.before.metrics, question)


def _flag(table: str, name: str, is_there: bool) -> str:
    return f"{table}.{_quoted(name)}" if is_there else "false"


def _equals(table: str, name: str, value: str, is_there: bool) -> str:
    return f"{table}.{_quoted(name)} = {_text(value)}" if is_there else "false"


def _has(table: str, group: TagGroup | None, value: str) -> str:
    if group is None or value not in group.values:
        return "false"
    if group.exclusive:
        return f"{table}.{_quoted(tag_column(group.key))} = {_text(value)}"
    if group.is_derived:
        return f"{table}.{_quoted(tag_flag(group.key, value))}"
    return f"list_contains({table}.{_quoted(tag_column(group.key))}, {_text(value)})"


def _tier_movements(found: DraftRun, ref: Ref) -> list[Movement]:
    """Members per tier, highest rank first, before and after."""
    kept = "ordinal IN (SELECT ordinal FROM seen)"
    rows = found.duck.execute(
        "SELECT a.tier, h.tier, count(*) FROM"
        f" (SELECT ordinal, tier FROM memberships WHERE program = $key AND {kept}) a"
        f" FULL JOIN (SELECT ordinal, tier FROM held WHERE program = $key AND {kept}) h"
        " ON h.ordinal = a.ordinal GROUP BY ALL",
        {"key": ref.key},
    ).fetchall()
    tiers = _tiers(found, ref.key)
    names = dict.fromkeys([*tiers, *sorted({name for row in rows for name in row[:2] if name})])
    known = {row["key"] for row in _stored_programs(found.run)}
    made = []
    for name in names:
        size = sum(count for now, _was, count in rows if now == name)
        before = sum(count for _now, was, count in rows if was == name)
        stayed = sum(count for now, was, count in rows if now == was == name)
        made.append(
            Movement(
                ref,
                name,
                before if ref.key in known else None,
                size,
                entered=size - stayed,
                left=before - stayed,
            )
        )
    return made


def _tiers(found: DraftRun, program: str) -> list[str]:
    for one in found.draft.programs:
        if one.key == program:
            newest = sorted(one.versions[-1].tiers, key=lambda tier: -tier.rank)
            return [tier.key for tier in newest]
    return []


def _stored_programs(run: Run) -> Sequence[Mapping[str, str]]:
    document = run.definition_set.document if run.definition_set else {}
    return tuple(document.get("programs", ()))


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
