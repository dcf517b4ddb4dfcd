"""What of the published definitions the tiers need, compiled once per definitions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from membership.domain.programs import Program, ProgramVersion
from membership.queries import load_definition_set
from membership.services.tier_changes import version_at
from segmentation.domain.definitions import Catalog
from segmentation.domain.dependencies import needed_by
from segmentation.engine.cuts import Cuts
from segmentation.engine.direct_facts import kinds_read
from segmentation.engine.drafts import part_of
from segmentation.engine.plan import CompiledPlan, RankRules, compile_plan
from segmentation.models import DefinitionSet, Run

_MOST_KEPT = 4


@dataclass(frozen=True, slots=True)
class InstantPlan:
    """The plan of the tiers' rules alone; percentile cuts are those the run froze."""

    programs: tuple[tuple[Program, ProgramVersion], ...]
    plan: CompiledPlan
    kinds: frozenset[str]
    cuts: Cuts


@lru_cache(maxsize=_MOST_KEPT)
def _definitions(digest: str) -> tuple[Catalog, tuple[Program, ...]]:
    # A set never changes; reading its rules again for each batch would cost more than the batch.
    return load_definition_set(DefinitionSet.objects.get(digest=digest))


_compiled: dict[tuple[object, ...], tuple[CompiledPlan, frozenset[str]]] = {}


def instant_plan(run: Run, as_of: datetime) -> InstantPlan:
    """The plan for the definitions of a published run, with the versions in force at `as_of`."""
    assert run.definition_set_id is not None  # every published run has one
    stored = DefinitionSet.objects.filter(pk=run.definition_set_id)
    digest = stored.values_list("digest", flat=True).get()
    catalog, programs = _definitions(digest)
    running = tuple(
        (program, version)
        for program in programs
        if (version := version_at(program, as_of)) is not None
    )
    rules = [tier.rule for _, version in running for tier in version.tiers]
    versions = tuple((program.key, version.number) for program, version in running)
    key = (digest, versions)
    if key not in _compiled:
        needed: dict[str, set[str]] = {}
        for ref in needed_by(catalog, rules):
            needed.setdefault(ref.kind, set()).add(ref.key)
        part = part_of(catalog, {kind: frozenset(keys) for kind, keys in needed.items()})
        plan = compile_plan(
            part,
            ladders=[
                RankRules(program.key, tuple((tier.rank, tier.rule) for tier in version.tiers))
                for program, version in running
            ],
            tier_ranks={
                program.key: {tier.key: tier.rank for tier in version.tiers}
                for program, version in running
            },
        )
        if len(_compiled) >= _MOST_KEPT:
            _compiled.clear()
        _compiled[key] = (plan, kinds_read(part))
    plan, kinds = _compiled[key]
    cuts = {
        layering: [(int(top), int(below)) for top, below in run.cuts[layering]]
        for layering in plan.catalog.layerings
        if layering in run.cuts
    }
    return InstantPlan(running, plan, kinds, cuts)
