"""A plan that is not published, computed over what a run left: the run itself, only not stored.

Metrics depend on facts alone, so those a run has computed are read from its snapshot; everything
above them (layers, rule tags, segments, tier rules) is computed by the same compiled SQL that a
run executes. A plan that needs other metrics takes the whole way from the facts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from pyroaring import BitMap

from segmentation.domain.definitions import Catalog, Metric

from .bitmaps import bitmap_of
from .compute import RunInputs, open_run_facts, register_inputs
from .cuts import Cuts, frozen_cuts
from .plan import CompiledPlan, bounds_at
from .plan.compiled import metric_columns

SNAPSHOT = "snapshot"
_Definition = TypeVar("_Definition")


def same_value(metric: Metric, other: Metric | None) -> bool:
    """Whether two definitions give the same exact value; what a metric is called plays no part.

    Formulas are compared by their terms' keys: the terms have to be compared as well.
    """
    if other is None:
        return False
    renamed = replace(other, label=metric.label, unit=metric.unit, value_kind=metric.value_kind)
    return metric == renamed


def compute_over_snapshot(
    duck: duckdb.DuckDBPyConnection,
    plan: CompiledPlan,
    inputs: RunInputs,
    *,
    known: Cuts,
    kept: Sequence[str],
) -> Cuts:
    """Create `verdicts` from the metrics in the view `snapshot`; returns the percentile cuts.

    The snapshot must be of the same as-of and watermark and have every metric of the plan. `known`
    are cuts that the run froze; those of other layerings are found here. Only the columns `kept`
    are computed: at a million customers each costs some 50 ms.
    """
    bounds = bounds_at(inputs.as_of, inputs.zone)
    open_run_facts(duck, plan, inputs)
    columns = ", ".join(
        f"{_quoted(name)}::{_exact_type(duck, name)} AS {_quoted(name)}"
        for name in metric_columns(plan.catalog, plan.shapes)
    )
    duck.execute(
        f"CREATE OR REPLACE TEMP VIEW metrics AS SELECT ordinal{', ' if columns else ''}{columns}"
        f" FROM {SNAPSHOT}"
    )
    layerings = {key: one for key, one in plan.catalog.layerings.items() if key not in known}
    found = frozen_cuts(duck, replace(plan.catalog, layerings=layerings), dict(plan.shapes))
    frozen = {key: known[key] for key in plan.catalog.layerings if key in known}
    register_inputs(duck, plan, inputs)
    sql = plan.verdicts_sql(bounds, {**frozen, **found.marks})
    names = ", ".join(_quoted(name) for name in ("ordinal", *kept))
    duck.execute(f"CREATE OR REPLACE TEMP TABLE verdicts AS SELECT {names} FROM ({sql})")
    return {**frozen, **found.exact}


def open_snapshot(duck: duckdb.DuckDBPyConnection, file: Path) -> frozenset[str]:
    """Create the view `snapshot` of a run's file; returns its columns."""
    quoted = str(file).replace("'", "''")
    duck.execute(f"CREATE OR REPLACE TEMP VIEW {SNAPSHOT} AS FROM read_parquet('{quoted}')")
    rows = duck.execute(f"SELECT column_name FROM (DESCRIBE {SNAPSHOT})").fetchall()
    return frozenset(row[0] for row in rows)


def _exact_type(duck: duckdb.DuckDBPyConnection, name: str) -> str:
    """Whole numbers whatever the file holds: earlier files have wide ones as floats."""
    rows = duck.execute(
        f"SELECT column_type FROM (DESCRIBE {SNAPSHOT}) WHERE column_name = ?", [name]
    ).fetchall()
    kind = str(rows[0][0])
    return "HUGEINT" if kind in ("DOUBLE", "FLOAT") else kind


@dataclass(frozen=True, slots=True)
class Question:
    """A set of customers now and as it was: SQL conditions over `v` (the verdicts) and `o` (the
    snapshot). `is_hidden`: who objects to personalised decisions is not counted in `before`."""

    after: str
    before: str
    is_hidden: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """How many customers were in a set, are in it, entered and left it."""

    before: int
    size: int
    entered: int
    left: int


def open_sight(
    duck: duckdb.DuckDBPyConnection, *, only: BitMap | None, erased: BitMap, objecting: BitMap
) -> None:
    """Create `seen`: the customers of `only` (None: all) who are not erased, and whether they
    object to personalised decisions."""
    for name, bitmap in (("scope", only), ("erased", erased), ("objecting", objecting)):
        ordinals = pa.array(bitmap.to_array() if bitmap else [], pa.uint32())
        duck.register(name, pa.table({"ordinal": ordinals}))
    scoped = "" if only is None else " SEMI JOIN scope USING (ordinal)"
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE seen AS SELECT ordinal, ordinal IN (SELECT ordinal FROM"
        f" objecting) AS objects FROM (SELECT ordinal FROM verdicts) v{scoped}"
        " ANTI JOIN erased USING (ordinal)"
    )


def count_sets(
    duck: duckdb.DuckDBPyConnection, questions: Sequence[Question]
) -> tuple[Counted, ...]:
    """Each question's sizes in one pass, over the customers in `seen`."""
    if not questions:
        return ()
    parts, picked = [], []
    for number, question in enumerate(questions):
        before = f"coalesce({question.before}, false)"
        if question.is_hidden:
            before = f"{before} AND NOT seen.objects"
        picked.append(f"coalesce({question.after}, false) AS n{number}, {before} AS b{number}")
        parts.append(
            f"count(*) FILTER (b{number}), count(*) FILTER (n{number}),"
            f" count(*) FILTER (n{number} AND NOT b{number}),"
            f" count(*) FILTER (b{number} AND NOT n{number})"
        )
    row = duck.execute(
        f"SELECT {', '.join(parts)} FROM (SELECT {', '.join(picked)} FROM verdicts v"
        f" JOIN seen ON seen.ordinal = v.ordinal LEFT JOIN {SNAPSHOT} o ON o.ordinal = v.ordinal)"
    ).fetchall()[0]
    return tuple(Counted(*row[at : at + 4]) for at in range(0, len(row), 4))


def count_where(duck: duckdb.DuckDBPyConnection, columns: Sequence[str]) -> tuple[int, ...]:
    """For how many customers in `seen` each of these columns of the verdicts is true."""
    if not columns:
        return ()
    parts = ", ".join(f"count(*) FILTER (v.{_quoted(name)})" for name in columns)
    rows = duck.execute(f"SELECT {parts} FROM verdicts v SEMI JOIN seen USING (ordinal)").fetchall()
    return tuple(rows[0])


def members_where(duck: duckdb.DuckDBPyConnection, condition: str) -> BitMap:
    """The customers for whom a condition over `v` (the verdicts) holds."""
    found = duck.execute(f"SELECT v.ordinal FROM verdicts v WHERE {condition} ORDER BY 1")
    return bitmap_of(np.asarray(found.fetchnumpy()["ordinal"]).astype(np.uint32))


def part_of(catalog: Catalog, keys: Mapping[str, frozenset[str]]) -> Catalog:
    """The catalog with only these definitions, by kind: tag, metric, layering, segment."""

    def kept(kind: str, found: Mapping[str, _Definition]) -> dict[str, _Definition]:
        return {key: one for key, one in found.items() if key in keys.get(kind, frozenset())}

    return Catalog(
        tag_groups=kept("tag", catalog.tag_groups),
        metrics=kept("metric", catalog.metrics),
        layerings=kept("layering", catalog.layerings),
        segments=kept("segment", catalog.segments),
    )


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
