"""What a run is computed with, besides facts: definitions, manual rows, where memberships start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings

from membership.domain.lifecycle import rank_in_version
from membership.domain.programs import Program, ProgramVersion
from membership.queries import load_definition_set, run_before
from membership.services.instant_tiers import pinned_moved, with_moved
from membership.services.tier_changes import MEMBERSHIPS, version_at
from segmentation.domain.definitions import Catalog
from segmentation.engine.compute import RunInputs
from segmentation.engine.mirror import mirror_folder
from segmentation.engine.plan import CompiledPlan, RankRules, compile_plan
from segmentation.engine.plan.compiled import Override
from segmentation.engine.results import run_folder
from segmentation.models import DefinitionSet, MirrorManifest, Run


@dataclass(frozen=True, slots=True)
class RunBasis:
    """What a run is computed with, besides facts: definitions and where memberships start."""

    catalog: Catalog
    programs: tuple[tuple[Program, ProgramVersion], ...]
    dormant: tuple[Program, ...]  # programs of which no version is effective yet
    held: pa.Table  # MEMBERSHIPS: where the run starts
    before: pa.Table  # MEMBERSHIPS: what `tier` leaves read
    overrides: pa.Table
    moved: pa.Table  # MEMBERSHIPS: of `held`, what the instant path had changed


def held_after(run: Run | None) -> pa.Table:
    """Memberships as they were after a run, from its files: the columns of MEMBERSHIPS."""
    if run is None:
        return MEMBERSHIPS.empty_table()
    return pq.read_table(run_folder(run.pk) / "memberships.parquet").select(MEMBERSHIPS.names)


def run_basis(
    used: DefinitionSet,
    as_of: datetime,
    base: Run | None,
    overrides: pa.Table,
    *,
    watermark: int,
    moved: pa.Table,
) -> RunBasis:
    """The basis of a run at `as_of` that starts from the memberships after `base` and after what
    the instant path has `moved` since."""
    catalog, programs = load_definition_set(used)
    effective = tuple(
        (program, version)
        for program in programs
        if (version := version_at(program, as_of)) is not None
    )
    running = {program.key for program, _ in effective}
    dormant = tuple(program for program in programs if program.key not in running)
    held = with_moved(held_after(base), moved)
    before = before_run(base, held, as_of=as_of, watermark=watermark, definition_set_id=used.pk)
    return RunBasis(catalog, effective, dormant, held, before, overrides, moved)


def before_run(
    base: Run | None,
    held: pa.Table,
    *,
    as_of: datetime,
    watermark: int,
    definition_set_id: int | None,
) -> pa.Table:
    """The memberships that `tier` leaves read: `held`, or what the first run of the same as-of,
    facts and definitions read."""
    read = run_before(base, as_of=as_of, watermark=watermark, definition_set_id=definition_set_id)
    if read == base or base is None:
        return held
    first = base
    while first.base_run is not None and first.base_run != read:
        first = first.base_run
    return with_moved(held_after(read), pinned_moved(first))


def run_inputs(
    basis: RunBasis, manifest: MirrorManifest, *, watermark: int, as_of: datetime
) -> RunInputs:
    """What the engine computes from, in the project's zone and currency."""
    return RunInputs(
        manifest=manifest,
        mirror=mirror_folder(),
        watermark=watermark,
        as_of=as_of,
        zone=ZoneInfo(settings.TIME_ZONE),
        currency=settings.BASE_CURRENCY,
        overrides=basis.overrides,
        before=ranked_before(basis),
    )


def ranked_before(basis: RunBasis) -> pa.Table:
    """The memberships tier leaves read: held tiers with their rank in the version that applies.

    An earlier version may have ranked the same tier otherwise.
    """
    versions = {program.key: version for program, version in basis.programs}
    pairs = pa.table({"program": basis.before["program"], "tier": basis.before["tier"],
                      "rank": basis.before["rank"]})  # fmt: skip
    ranks = basis.before["rank"].to_numpy().copy()
    for pair in pairs.group_by(["program", "tier", "rank"]).aggregate([]).to_pylist():
        version = versions.get(pair["program"])
        if version is None:
            continue
        now = rank_in_version(version, tier=pair["tier"], rank=pair["rank"])
        if now != pair["rank"]:
            same = pc.and_(
                pc.equal(pairs["program"], pair["program"]),
                pc.and_(
                    pc.equal(pairs["tier"], pair["tier"]), pc.equal(pairs["rank"], pair["rank"])
                ),
            )
            ranks[same.to_numpy()] = now
    position = basis.before.schema.get_field_index("rank")
    return basis.before.set_column(position, "rank", pa.array(ranks, pa.int64()))


_plans: dict[tuple[object, ...], CompiledPlan] = {}


def plan_for(used: DefinitionSet, basis: RunBasis) -> CompiledPlan:
    """The compiled plan, made once per definitions (and what manual rows touch) and process."""
    overrides, has_objections = touched_by(basis.overrides, basis.catalog)
    versions = tuple((program.key, version.number) for program, version in basis.programs)
    key = (used.digest, versions, overrides, has_objections)
    if key not in _plans:
        if len(_plans) > 8:
            _plans.clear()
        _plans[key] = compile_plan(
            basis.catalog,
            ladders=[
                RankRules(program.key, tuple((tier.rank, tier.rule) for tier in version.tiers))
                for program, version in basis.programs
            ],
            tier_ranks={
                program.key: {tier.key: tier.rank for tier in version.tiers}
                for program, version in basis.programs
            },
            overrides=overrides,
            has_objections=has_objections,
        )
    return _plans[key]


def touched_by(overrides: pa.Table, catalog: Catalog) -> tuple[frozenset[Override], bool]:
    """Which segments have manual includes or excludes, and whether anybody objects."""
    pairs = overrides.group_by(["segment", "kind"]).aggregate([]).to_pylist()
    touched = frozenset(
        (pair["segment"], pair["kind"])
        for pair in pairs
        if pair["kind"] in ("include", "exclude") and pair["segment"] in catalog.segments
    )
    return touched, any(pair["kind"] == "objection" for pair in pairs)


def member_columns(duck: duckdb.DuckDBPyConnection, basis: RunBasis) -> str:
    """A table with each customer's memberships side by side, to be hashed with the verdicts."""
    parts = "".join(
        f", max({column}) FILTER (WHERE program = '{program.key}') AS \"{column}:{program.key}\""
        for program, _ in sorted(basis.programs, key=lambda pair: pair[0].key)
        for column in ("tier", "since", "until", "grace_until")
    )
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE member_columns AS"
        f" SELECT ordinal{parts} FROM memberships GROUP BY ordinal"
    )
    return "member_columns"
