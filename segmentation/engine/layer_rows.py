"""The customers of one layer at a run, as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from segmentation.domain.definitions import Catalog
from segmentation.models import Run

from .backend import open_duckdb
from .plan.formulas import metric_shapes
from .plan.metrics import denominator, numerator
from .plan.rules import layer_column
from .results import run_folder
from .snapshots import exact_metric

_PORTION = 10_000


def layer_rows(
    run: Run, catalog: Catalog, *, layering: str, layer: str
) -> Iterator[tuple[int, Fraction | None]]:
    """Bitmap position and exact value of the cut metric, by position. Memory does not grow.

    `layering` must be one of the catalog's, and `run` have its files.
    """
    key = catalog.layerings[layering].metric
    shape = metric_shapes(catalog.metrics)[key]
    names = [numerator(key), *([denominator(key)] if shape.is_fraction else [])]
    path = str(run_folder(run.pk) / "snapshot.parquet").replace("'", "''")
    columns = ", ".join(_quoted(name) for name in ("ordinal", *names))
    query = (
        f"SELECT {columns} FROM read_parquet('{path}')"
        f" WHERE {_quoted(layer_column(layering))} = ? ORDER BY ordinal"
    )
    with open_duckdb() as duck:
        reader = duck.sql(query, params=[layer]).to_arrow_reader(_PORTION)
        for batch in reader:
            for row in batch.to_pylist():
                yield int(row["ordinal"]), exact_metric(row, shape, key)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
