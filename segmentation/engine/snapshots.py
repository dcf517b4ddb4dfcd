"""Reading what a run stored: one customer's row, a segment's members, memberships."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pyroaring import BitMap

from segmentation.domain.definitions import Catalog
from segmentation.models import Run

from .backend import open_duckdb
from .plan.formulas import Shape, metric_shapes
from .plan.metrics import denominator, numerator
from .plan.rules import layer_column, segment_column, tag_column, tag_flag
from .results import run_folder


@dataclass(frozen=True, slots=True)
class CustomerSnapshot:
    """What a run found about one customer; metrics exact."""

    ordinal: int
    external_id: str
    metrics: dict[str, Fraction | None]
    tags: dict[str, list[str]]
    layers: dict[str, str | None]
    segments: dict[str, bool]


def read_customer(run: Run, external_id: str, catalog: Catalog) -> CustomerSnapshot | None:
    """The customer's row of the run; None when the run did not know the id."""
    rows = _select(
        run_folder(run.pk) / "snapshot.parquet", "external_id = ?", [external_id], columns="*"
    )
    if not rows:
        return None
    row = rows[0]
    shapes = metric_shapes(catalog.metrics)
    return CustomerSnapshot(
        ordinal=row["ordinal"],
        external_id=row["external_id"],
        metrics={key: exact_metric(row, shapes[key], key) for key in catalog.metrics},
        tags={key: tag_values(row, catalog, key) for key in catalog.tag_groups},
        layers={key: row[layer_column(key)] for key in catalog.layerings},
        segments={key: row[segment_column(key)] for key in catalog.segments},
    )


def exact_metric(row: dict[str, Any], shape: Shape, key: str) -> Fraction | None:
    """A metric's exact value in a row of a snapshot or of `verdicts`."""
    top = row[numerator(key)]
    below = row[denominator(key)] if shape.is_fraction else 1
    return None if top is None or below is None else Fraction(int(top), int(below) * shape.scale)


def tag_values(row: dict[str, Any], catalog: Catalog, key: str) -> list[str]:
    """A tag group's values in a row of a snapshot or of `verdicts`, in the group's order."""
    group = catalog.tag_groups[key]
    if group.is_derived and not group.exclusive:
        return [value for value in group.values if row[tag_flag(key, value)]]
    found = row[tag_column(key)]
    if found is None:
        return []
    values = [found] if isinstance(found, str) else list(found)
    declared = [value for value in group.values if value in values]
    return [*declared, *sorted(set(values) - set(declared))]


def external_ids(run: Run, members: BitMap) -> list[str]:
    """The ids of a bitmap's customers, sorted by code point."""
    names = dict(_identities(run))
    return sorted(names[ordinal] for ordinal in members if ordinal in names)


def read_memberships(
    run: Run, *, program: str | None = None, external_id: str | None = None
) -> list[dict[str, Any]]:
    """Memberships after the run: external_id, program, tier, rank and times in microseconds."""
    conditions: list[str] = ["true"]
    values: list[object] = []
    if program is not None:
        conditions.append("program = ?")
        values.append(program)
    if external_id is not None:
        conditions.append("external_id = ?")
        values.append(external_id)
    return _select(
        run_folder(run.pk) / "memberships.parquet", " AND ".join(conditions), values, columns="*"
    )


def _identities(run: Run) -> Iterator[tuple[int, str]]:
    table = pq.read_table(
        run_folder(run.pk) / "snapshot.parquet", columns=["ordinal", "external_id"]
    )
    return zip(table["ordinal"].to_pylist(), table["external_id"].to_pylist(), strict=True)


def _select(path: Path, where: str, values: list[object], *, columns: str) -> list[dict[str, Any]]:
    with open_duckdb() as duck:
        quoted = str(path).replace("'", "''")
        table = duck.sql(
            f"SELECT {columns} FROM read_parquet('{quoted}') WHERE {where}", params=values
        ).to_arrow_table()
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
