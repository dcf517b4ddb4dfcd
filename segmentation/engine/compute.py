"""One run's computation: from the mirror to the tables `metrics` and `verdicts` in DuckDB.

Nothing here writes to PostgreSQL, and nothing depends on anything but the inputs: the same inputs
give the same rows, whenever and wherever (that is what `verify_run` relies on).
"""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.domain.values import currency_decimals
from segmentation.models import MirrorManifest

from .cuts import Cuts, FrozenCuts, frozen_cuts
from .facts import open_facts, open_refunds
from .local_days import micros
from .plan import CompiledPlan, bounds_at
from .plan.rules import before_column, bucket_column
from .schema import MONEY_SCALE
from .stopwatch import Stopwatch

OVERRIDES = pa.schema([("ordinal", pa.int64()), ("kind", pa.string()), ("segment", pa.string())])
# How many rows are looked at together outside the backend.
CHUNK = 500_000


@dataclass(frozen=True, slots=True)
class Moment:
    """What verdicts are computed from besides facts.

    `overrides` has the columns of OVERRIDES (kind include, exclude, objection or list; `segment` of
    a list row is the list's key); `before` has `ordinal`, `program`, `rank`: the memberships tier
    leaves read.
    """

    as_of: datetime
    zone: ZoneInfo
    currency: str
    overrides: pa.Table
    before: pa.Table


@dataclass(frozen=True, slots=True)
class RunInputs(Moment):
    """Everything a run is computed from."""

    manifest: MirrorManifest
    mirror: Path
    watermark: int


def compute(
    duck: duckdb.DuckDBPyConnection,
    plan: CompiledPlan,
    inputs: RunInputs,
    watch: Stopwatch,
    *,
    frozen: Cuts | None = None,
) -> Cuts:
    """Create `metrics` and `verdicts`; returns the percentile cuts, frozen.

    `frozen`: take these cuts, because the customers they were found among are not all there.
    """
    with watch.stage("facts"):
        open_run_facts(duck, plan, inputs)
    return decide_over(duck, plan, inputs, watch, frozen=frozen)


def decide_over(
    duck: duckdb.DuckDBPyConnection,
    plan: CompiledPlan,
    inputs: Moment,
    watch: Stopwatch,
    *,
    frozen: Cuts | None = None,
) -> Cuts:
    """The same over facts that are open already, wherever they were read from."""
    bounds = bounds_at(inputs.as_of, inputs.zone)
    with watch.stage("facts"):
        smallest = MONEY_SCALE // 10 ** currency_decimals(inputs.currency)
        open_refunds(duck, as_of=micros(inputs.as_of), unit=smallest)
    with watch.stage("metrics"):
        duck.execute(f"CREATE OR REPLACE TEMP TABLE metrics AS {plan.metrics_sql(bounds)}")
    with watch.stage("cuts"):
        if frozen is None:
            cuts = frozen_cuts(duck, plan.catalog, dict(plan.shapes))
        else:
            cuts = FrozenCuts(exact=frozen, marks=frozen)
    with watch.stage("rules"):
        register_inputs(duck, plan, inputs)
        sql = plan.verdicts_sql(bounds, cuts.marks)
        duck.execute(f"CREATE OR REPLACE TEMP TABLE verdicts AS {sql}")
    return cuts.exact


def open_run_facts(duck: duckdb.DuckDBPyConnection, plan: CompiledPlan, inputs: RunInputs) -> None:
    """The facts the run sees, as views."""
    open_facts(
        duck,
        inputs.manifest,
        inputs.mirror,
        watermark=inputs.watermark,
        properties=plan.properties,
    )


def verdict_chunks(duck: duckdb.DuckDBPyConnection, columns: str = "*") -> Iterator[pa.Table]:
    """Rows of `verdicts`, some at a time."""
    reader = duck.sql(f"SELECT {columns} FROM verdicts").to_arrow_reader(CHUNK)
    for batch in reader:
        yield pa.Table.from_batches([batch])


def bucket_of(salt: str, external_id: str) -> int:
    """0 to 9999, the same for ever: first 8 bytes, big-endian, of HMAC-SHA256, mod 10000."""
    digest = hmac.new(salt.encode(), external_id.encode(), sha256).digest()
    return int.from_bytes(digest[:8], "big") % 10_000


def register_inputs(duck: duckdb.DuckDBPyConnection, plan: CompiledPlan, inputs: Moment) -> None:
    """What people decided, memberships before the run and random numbers, as tables."""
    duck.register("overrides", inputs.overrides)
    if plan.programs_before:
        columns: dict[str, pa.Array] = {}
        programs = inputs.before["program"]
        tables = {
            program: inputs.before.filter(pc.equal(programs, program))
            for program in plan.programs_before
        }
        everyone = np.unique(
            np.concatenate([np.asarray(table["ordinal"]) for table in tables.values()])
        ).astype(np.int64)
        columns["ordinal"] = pa.array(everyone)
        for program, table in tables.items():
            ranks = np.zeros(len(everyone), dtype=np.int64)
            positions = np.searchsorted(everyone, np.asarray(table["ordinal"]))
            ranks[positions] = np.asarray(table["rank"])
            columns[before_column(program)] = pa.array(ranks, mask=ranks == 0)
        duck.register("before", pa.table(columns))
    if plan.salts:
        people = duck.execute("SELECT ordinal, external_id FROM customers").fetchnumpy()
        buckets: Mapping[str, pa.Array] = {
            bucket_column(salt): pa.array(
                [bucket_of(salt, external_id) for external_id in people["external_id"]], pa.int32()
            )
            for salt in plan.salts
        }
        duck.register("buckets", pa.table({"ordinal": people["ordinal"], **buckets}))
