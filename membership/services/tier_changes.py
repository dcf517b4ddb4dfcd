"""Tiers on columns: who is due, one decision per distinct situation, applied to sets.

Never a Python call per customer: customers who are in the same situation (same tier, dates and
qualified rank) share one decision of `membership.domain.lifecycle`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from membership.domain.deciding import deciding_metrics
from membership.domain.lifecycle import Decision, Held, decide, rank_in_version
from membership.domain.programs import Program, ProgramVersion
from segmentation.domain.definitions import Metric
from segmentation.domain.windows import local_midnight
from segmentation.engine.local_days import from_micros, micros
from segmentation.engine.plan import CompiledPlan
from segmentation.engine.plan.metrics import denominator, numerator
from segmentation.engine.plan.rules import rank_column
from segmentation.engine.values import rounded_units, texts, unit_decimals

# A membership in a run's files: times in microseconds UTC; missing `until`: held for good.
MEMBERSHIPS = pa.schema(
    [
        ("ordinal", pa.int64()),
        ("program", pa.string()),
        ("tier", pa.string()),
        ("rank", pa.int64()),
        ("since", pa.int64()),
        ("until", pa.int64()),
        ("grace_until", pa.int64()),
    ]
)
CHANGES = pa.schema(
    [
        *MEMBERSHIPS,
        ("kind", pa.string()),
        ("from_tier", pa.string()),
        ("version", pa.int64()),
        ("reasons", pa.string()),
        ("values", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True)
class TierRun:
    """What the tiers of one run are decided with."""

    plan: CompiledPlan
    metrics: Mapping[str, Metric]
    as_of: datetime
    currency: str


def version_at(program: Program, as_of: datetime) -> ProgramVersion | None:
    """The version that applies: the highest number among those effective at the as-of."""
    zone = ZoneInfo(program.timezone)
    effective = [
        version
        for version in program.versions
        if local_midnight(version.effective_from, zone) <= as_of
    ]
    return max(effective, key=lambda version: version.number, default=None)


def decide_tiers(
    duck: duckdb.DuckDBPyConnection,
    run: TierRun,
    programs: Sequence[tuple[Program, ProgramVersion]],
    held: pa.Table,
) -> pa.Table:
    """Create `memberships` (after the run) from `held` (before); returns the changes.

    `held` has the columns of MEMBERSHIPS, the result those of CHANGES. Reads `verdicts`.
    """
    duck.register("held", held)
    changes = [_program_changes(duck, run, *program) for program in programs]
    known = {program.key for program, _ in programs}
    changes.append(_ended_programs(duck, known))
    table = pa.concat_tables(changes).cast(CHANGES)
    duck.register("changes", table)
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE memberships AS"
        " SELECT h.ordinal, h.program, h.tier, h.rank, h.since, h.until, h.grace_until FROM held h"
        " SEMI JOIN verdicts v ON v.ordinal = h.ordinal"
        " ANTI JOIN changes c ON c.ordinal = h.ordinal AND c.program = h.program"
        " UNION ALL SELECT ordinal, program, tier, rank, since, until, grace_until FROM changes"
        " WHERE tier IS NOT NULL"
    )
    return table


def _program_changes(
    duck: duckdb.DuckDBPyConnection, run: TierRun, program: Program, version: ProgramVersion
) -> pa.Table:
    duck.register("tier_ranks", _tier_ranks(duck, program, version))
    qualified = _quoted(rank_column(program.key))
    at = micros(run.as_of)
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE due AS SELECT v.ordinal, v.qualified, h.tier, h.rank,"
        " h.since, h.until, h.grace_until"
        f" FROM (SELECT ordinal, {qualified} AS qualified FROM verdicts) v"
        " LEFT JOIN (SELECT h.ordinal, h.tier, r.rank, h.since, h.until, h.grace_until FROM held h"
        "  JOIN tier_ranks r ON r.tier = h.tier AND r.held_rank = h.rank WHERE h.program = ?) h"
        " ON h.ordinal = v.ordinal"
        " WHERE CASE WHEN h.ordinal IS NULL THEN v.qualified IS NOT NULL"
        " ELSE coalesce(v.qualified > h.rank, false) OR coalesce(h.until <= ?, false) END",
        [program.key, at],
    )
    situations = duck.execute(
        "SELECT DISTINCT qualified, tier, rank, since, until, grace_until FROM due"
    ).fetchall()
    zone = ZoneInfo(program.timezone)
    keys = {tier.rank: tier.key for tier in version.tiers}
    rows = []
    for qualified_rank, tier, rank, since, until, grace_until in situations:
        before = None
        if tier is not None:
            before = Held(rank, from_micros(since), _instant(until), _instant(grace_until))
        decision = decide(
            version, held=before, qualified_rank=qualified_rank, as_of=run.as_of, zone=zone
        )
        if decision.kind != "none":
            rows.append(
                (qualified_rank, tier, since, until, grace_until, *_outcome(decision, keys, tier))
            )
    names = (
        "qualified",
        "from_tier",
        "since0",
        "until0",
        "grace0",
        "kind",
        "tier",
        "rank",
        "since",
        "until",
        "grace_until",
        "reasons",
    )
    types = [
        pa.int64(),
        pa.string(),
        *[pa.int64()] * 3,
        pa.string(),
        pa.string(),
        *[pa.int64()] * 4,
        pa.string(),
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    duck.register(
        "decisions",
        pa.table(
            {
                name: pa.array(list(column), kind)
                for name, column, kind in zip(names, columns, types, strict=True)
            }
        ),
    )
    same = " AND ".join(
        f"d.{left} IS NOT DISTINCT FROM x.{right}"
        for left, right in (
            ("qualified", "qualified"),
            ("from_tier", "tier"),
            ("since0", "since"),
            ("until0", "until"),
            ("grace0", "grace_until"),
        )
    )
    wanted = deciding_metrics(version, catalog=run.plan.catalog)
    selected = "".join(
        f", v.{_quoted(name)}"
        for key in wanted
        for name in (numerator(key), denominator(key))
        if name == numerator(key) or run.plan.shapes[key].is_fraction
    )
    found = duck.sql(
        "SELECT x.ordinal, d.kind, d.from_tier, d.tier, d.rank, d.since, d.until, d.grace_until,"
        f" d.reasons{selected} FROM due x JOIN decisions d ON {same}"
        " JOIN verdicts v ON v.ordinal = x.ordinal"
    ).to_arrow_table()
    count = found.num_rows
    return pa.table(
        {
            **{
                name: found[name]
                for name in (
                    "ordinal",
                    "tier",
                    "rank",
                    "since",
                    "until",
                    "grace_until",
                    "kind",
                    "from_tier",
                    "reasons",
                )
            },
            "program": pa.array([program.key] * count, pa.string()),
            "version": pa.array([version.number] * count, pa.int64()),
            "values": pa.array(_deciding_values(found, run, wanted), pa.string()),
        }
    ).select(CHANGES.names)


def _tier_ranks(
    duck: duckdb.DuckDBPyConnection, program: Program, version: ProgramVersion
) -> pa.Table:
    """Held tiers with their rank in this version: an earlier one may have ranked them otherwise."""
    pairs = duck.execute(
        "SELECT DISTINCT tier, rank FROM held WHERE program = ?", [program.key]
    ).fetchall()
    return pa.table(
        {
            "tier": pa.array([tier for tier, _ in pairs], pa.string()),
            "held_rank": pa.array([rank for _, rank in pairs], pa.int64()),
            "rank": pa.array(
                [rank_in_version(version, tier=tier, rank=rank) for tier, rank in pairs],
                pa.int64(),
            ),
        }
    )


def _ended_programs(duck: duckdb.DuckDBPyConnection, known: set[str]) -> pa.Table:
    """Whoever is still in a program that is gone leaves it."""
    duck.register("known_programs", pa.table({"program": pa.array(sorted(known), pa.string())}))
    return (
        duck.sql(
            "SELECT h.ordinal, h.program, NULL::VARCHAR AS tier, NULL::BIGINT AS rank,"
            " NULL::BIGINT AS since, NULL::BIGINT AS until, NULL::BIGINT AS grace_until,"
            " 'exit' AS kind, h.tier AS from_tier, NULL::BIGINT AS version,"
            " '[\"program_retired\"]' AS reasons, '{}' AS values FROM held h"
            " SEMI JOIN verdicts v ON v.ordinal = h.ordinal"
            " ANTI JOIN known_programs k ON k.program = h.program"
        )
        .to_arrow_table()
        .cast(CHANGES)
    )


def _deciding_values(found: pa.Table, run: TierRun, wanted: Sequence[str]) -> list[str]:
    """One JSON object per row: the metrics that decide about the tiers, as shown."""
    columns: dict[str, list[str | None]] = {}
    for key in wanted:
        metric = run.metrics[key]
        decimals = unit_decimals(metric.unit, run.currency)
        below = found[denominator(key)] if denominator(key) in found.column_names else None
        units, missing = rounded_units(
            found[numerator(key)], below, shape=run.plan.shapes[key], decimals=decimals
        )
        columns[key] = texts(units.tolist(), missing.tolist(), decimals)
    if not columns:
        return ["{}"] * found.num_rows
    return [
        json.dumps(dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def _outcome(decision: Decision, keys: Mapping[int, str], tier: str | None) -> tuple[object, ...]:
    # In grace or renewed the held tier stays, also one that a new version no longer has.
    stays = decision.kind in ("renewal", "grace")
    after = tier if stays else None if decision.rank is None else keys[decision.rank]
    return (
        decision.kind,
        after,
        decision.rank,
        *(None if at is None else micros(at) for at in (decision.since, decision.until)),
        None if decision.grace_until is None else micros(decision.grace_until),
        json.dumps(list(decision.reasons)),
    )


def _instant(value: int | None) -> datetime | None:
    return None if value is None else from_micros(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
