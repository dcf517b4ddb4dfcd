"""What a run found, read from its `verdicts`: bitmaps, sizes, hashes; and its files."""

from __future__ import annotations

import shutil
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from django.conf import settings
from pyroaring import BitMap

from segmentation.domain.definitions import Catalog

from .bitmaps import bitmap_of
from .compute import verdict_chunks
from .hashes import customer_hashes, overall_hash
from .mirror_files import fsync_path
from .plan import CompiledPlan
from .plan.rules import layer_column, segment_column, tag_column, tag_flag

# Rows hashed together: columns of that length stay in the processor's cache.
_HASHED_AT_ONCE = 65_536
_MOST_WAITING = 3


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many customers have each declared tag value and layer, 0 included."""

    tags: dict[str, dict[str, int]]
    layers: dict[str, dict[str, int]]


def segment_bitmaps(duck: duckdb.DuckDBPyConnection, catalog: Catalog) -> dict[str, BitMap]:
    """Members of every segment."""
    found: dict[str, list[npt.NDArray[np.uint32]]] = {key: [] for key in catalog.segments}
    if not found:
        return {}
    names = ", ".join(_quoted(segment_column(key)) for key in found)
    for chunk in verdict_chunks(duck, f"ordinal, {names}"):
        ordinals = np.asarray(chunk["ordinal"]).astype(np.uint32)
        for key, parts in found.items():
            parts.append(ordinals[np.asarray(chunk[segment_column(key)])])
    return {
        key: bitmap_of(np.sort(np.concatenate(parts)) if parts else np.zeros(0, np.uint32))
        for key, parts in found.items()
    }


def sizes(duck: duckdb.DuckDBPyConnection, catalog: Catalog) -> Sizes:
    """Sizes of tags and layers, every declared value listed."""
    tags: dict[str, dict[str, int]] = {}
    for group in catalog.tag_groups.values():
        if group.is_derived and not group.exclusive:
            counts: Counter[str] = Counter()
            for value in group.values:
                flag = _quoted(tag_flag(group.key, value))
                counts[value] = _count(duck, f"SELECT count(*) FROM verdicts WHERE {flag}")
        else:
            column = _quoted(tag_column(group.key))
            if not group.exclusive:
                column = f"unnest({column})"
            counts = _counted(duck, column)
        listed = [*group.values, *sorted(set(counts) - set(group.values))]
        tags[group.key] = {value: counts[value] for value in listed}
    layers = {}
    for layering in catalog.layerings.values():
        counts = _counted(duck, _quoted(layer_column(layering.key)))
        layers[layering.key] = {layer: counts[layer] for layer in layering.layers}
    return Sizes(tags, layers)


def write_snapshot(duck: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """`snapshot.parquet`: a row per customer, a column per metric, tag, layer, segment, rank.

    Parquet has no 128-bit integers, and DuckDB writes them as floats; so they become decimals.
    """
    columns = duck.execute("SELECT column_name, column_type FROM (DESCRIBE verdicts)").fetchall()
    exact = ", ".join(
        _quoted(name) + (f"::DECIMAL(38, 0) AS {_quoted(name)}" if kind == "HUGEINT" else "")
        for name, kind in columns
    )
    _copy(duck, f"SELECT {exact} FROM verdicts", folder / "snapshot.parquet")


def write_table(duck: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    """The rows of a query as a Parquet file, fsynced."""
    _copy(duck, sql, path)


def write_hashes(
    duck: duckdb.DuckDBPyConnection, plan: CompiledPlan, currency: str, folder: Path, extra: str
) -> str:
    """`hashes.parquet` (external_id, hash); returns the overall hash.

    `extra` names a table with `ordinal` and more columns to be hashed with each customer.
    """
    ids: list[pa.Array] = []
    names = [
        row[0] for row in duck.execute(f"SELECT column_name FROM (DESCRIBE {extra})").fetchall()
    ]
    added = "".join(f", e.{_quoted(name)}" for name in names if name != "ordinal")
    reader = duck.sql(
        f"SELECT v.*{added} FROM verdicts v LEFT JOIN {extra} e ON e.ordinal = v.ordinal"
    ).to_arrow_reader(_HASHED_AT_ONCE)
    # One part is hashed while DuckDB makes the next; a few at most wait in memory.
    with ThreadPoolExecutor(1) as hasher:
        parts: list[Future[npt.NDArray[np.uint64]]] = []
        for batch in reader:
            table = pa.Table.from_batches([batch])
            ids += table["external_id"].chunks
            rest = table.drop_columns(["external_id"])
            parts.append(hasher.submit(customer_hashes, rest, plan, currency))
            if len(parts) > _MOST_WAITING:
                parts[-_MOST_WAITING].result()
        hashes = [part.result() for part in parts]
    joined = np.concatenate(hashes) if hashes else np.zeros(0, np.uint64)
    external_ids = pa.chunked_array(ids, pa.string())
    path = folder / "hashes.parquet"
    pq.write_table(pa.table({"external_id": external_ids, "hash": joined}), path)
    fsync_path(path)
    return overall_hash(external_ids, joined)


def run_folder(run_id: int) -> Path:
    """Where the files of a run lie once it is published or stored."""
    return Path(settings.VAR_DIR) / "runs" / str(run_id)


def settle(scratch: Path, run_id: int) -> None:
    """Move a run's files to their place; what a killed attempt left there is replaced."""
    target = run_folder(run_id)
    if target.exists():
        shutil.rmtree(target)
    scratch.rename(target)
    fsync_path(target)
    fsync_path(target.parent)


def _copy(duck: duckdb.DuckDBPyConnection, sql: str, path: Path) -> None:
    quoted = str(path).replace("'", "''")
    duck.execute(f"COPY ({sql}) TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
    fsync_path(path)


def _counted(duck: duckdb.DuckDBPyConnection, expression: str) -> Counter[str]:
    rows = duck.execute(
        f"SELECT value, count(*) FROM (SELECT {expression} AS value FROM verdicts)"
        " WHERE value IS NOT NULL GROUP BY value"
    ).fetchall()
    return Counter(dict(rows))


def _count(duck: duckdb.DuckDBPyConnection, sql: str) -> int:
    # fetchone would leave the result unfinished, which this connection does not forgive.
    return int(duck.execute(sql).fetchall()[0][0])


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
