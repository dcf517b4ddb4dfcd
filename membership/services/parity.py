"""Parity: a random sample of every run is decided again by the oracle."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np

from membership.domain.programs import Program, ProgramVersion
from segmentation.domain.evaluate import Oracle, Setting
from segmentation.domain.history import HeldTier
from segmentation.engine.compute import RunInputs
from segmentation.engine.cuts import Cuts
from segmentation.engine.plan import CompiledPlan
from segmentation.engine.plan.rules import (
    layer_column,
    rank_column,
    segment_column,
)
from segmentation.engine.snapshots import exact_metric, tag_values
from segmentation.models import Customer
from segmentation.services.history import load_histories, read_overrides

SAMPLE = 25


@dataclass(frozen=True, slots=True)
class Parity:
    """How many customers were checked and each difference: customer, subject, both answers."""

    checked: int
    mismatches: list[dict[str, Any]]


def check_parity(
    duck: duckdb.DuckDBPyConnection,
    plan: CompiledPlan,
    inputs: RunInputs,
    cuts: Cuts,
    programs: Sequence[tuple[Program, ProgramVersion]],
    *,
    seed: int,
    sample: int = SAMPLE,
) -> Parity:
    """Compare the oracle with `verdicts` for a sample drawn with `seed`; metrics exactly."""
    rows_found = duck.execute("SELECT ordinal FROM verdicts ORDER BY ordinal").fetchnumpy()
    ordinals = np.asarray(rows_found["ordinal"])
    if not len(ordinals):
        return Parity(0, [])
    chosen = random.Random(seed).sample(range(len(ordinals)), min(sample, len(ordinals)))  # noqa: S311
    wanted = sorted(int(ordinals[position]) for position in chosen)
    rows = duck.sql(
        f"SELECT * FROM verdicts WHERE ordinal IN ({', '.join(map(str, wanted))})"
    ).to_arrow_table()
    customers = dict(Customer.objects.filter(ordinal__in=wanted).values_list("external_id", "pk"))
    histories = load_histories(
        list(customers.values()),
        watermark=inputs.watermark,
        overrides=read_overrides(inputs.overrides, ordinals=wanted),
    )
    setting = run_setting(plan, inputs, cuts, programs)
    held = _held(inputs, wanted)
    mismatches: list[dict[str, Any]] = []
    for row in rows.to_pylist():
        history = histories.get(customers.get(row["external_id"], -1))
        if history is None:
            mismatches.append({"customer_id": row["external_id"], "subject": "customer"})
            continue
        oracle = Oracle(history, setting=setting, tiers_before=held.get(row["ordinal"], {}))
        for subject, expected, found in _differences(oracle, row, plan, programs):
            mismatches.append(
                {
                    "customer_id": row["external_id"],
                    "subject": subject,
                    "oracle": str(expected),
                    "engine": str(found),
                }
            )
    return Parity(len(wanted), mismatches)


def run_setting(
    plan: CompiledPlan,
    inputs: RunInputs,
    cuts: Cuts,
    programs: Sequence[tuple[Program, ProgramVersion]],
) -> Setting:
    """What the oracle needs to know about a run."""
    return Setting(
        catalog=plan.catalog,
        as_of=inputs.as_of,
        zone=inputs.zone,
        currency=inputs.currency,
        cuts={key: tuple(Fraction(*pair) for pair in pairs) for key, pairs in cuts.items()},
        tier_ranks={
            program.key: {tier.key: tier.rank for tier in version.tiers}
            for program, version in programs
        },
    )


def _differences(
    oracle: Oracle,
    row: dict[str, Any],
    plan: CompiledPlan,
    programs: Sequence[tuple[Program, ProgramVersion]],
) -> Iterator[tuple[str, object, object]]:
    catalog = plan.catalog
    for key in catalog.metrics:
        expected, found = oracle.metric(key), exact_metric(row, plan.shapes[key], key)
        if expected != found:
            yield f"metric:{key}", expected, found
    for key in catalog.layerings:
        if oracle.layer(key) != row[layer_column(key)]:
            yield f"layer:{key}", oracle.layer(key), row[layer_column(key)]
    for key in catalog.tag_groups:
        values = tag_values(row, catalog, key)
        if sorted(oracle.tags(key)) != sorted(values):
            yield f"tag:{key}", oracle.tags(key), values
    for key in catalog.segments:
        if oracle.in_segment(key) != row[segment_column(key)]:
            yield f"segment:{key}", oracle.in_segment(key), row[segment_column(key)]
    for program, version in programs:
        holding = [tier.rank for tier in version.tiers if oracle.holds(tier.rule)]
        best = max(holding, default=None)
        if best != row[rank_column(program.key)]:
            yield f"tier:{program.key}", best, row[rank_column(program.key)]


def _held(inputs: RunInputs, wanted: Sequence[int]) -> dict[int, dict[str, HeldTier]]:
    table = inputs.before
    chosen = table.filter(np.isin(np.asarray(table["ordinal"]), wanted))
    held: dict[int, dict[str, HeldTier]] = {}
    for row in chosen.to_pylist():
        held.setdefault(row["ordinal"], {})[row["program"]] = HeldTier(row["tier"], row["rank"])
    return held
