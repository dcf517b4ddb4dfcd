"""Sizes of layers, tag values and tiers at past runs among some customers, from the runs' files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyroaring import BitMap

from .backend import open_duckdb
from .plan.rules import layer_column, tag_column, tag_flag
from .results import run_folder


def past_sizes(
    runs: Sequence[int], *, kind: str, key: str, value: str, among: BitMap
) -> dict[int, int]:
    """How many of `among` were in the layer or tier, or had the tag value, by run.

    `kind` is layer, tag or tier. Runs whose files are gone, or that did not know `key`, are left
    out.
    """
    asked: dict[int, str] = {}
    for run in runs:
        source = _source(run, kind, key, value)
        if source is not None:
            asked[run] = source
    if not asked:
        return {}
    with open_duckdb() as duck:
        duck.register("among", pa.table({"ordinal": pa.array(among.to_array(), pa.uint32())}))
        parts = " UNION ALL ".join(
            f"SELECT {int(run)} AS run, count(*) FROM ({source}) SEMI JOIN among USING (ordinal)"
            for run, source in asked.items()
        )
        return dict(duck.execute(parts).fetchall())


def _source(run: int, kind: str, key: str, value: str) -> str | None:
    """The SQL of the ordinals that were in the set."""
    if kind == "tier":
        file = run_folder(run) / "memberships.parquet"
        condition = f"program = {_text(key)} AND tier = {_text(value)}"
        return _select(file, condition) if file.is_file() else None
    file = run_folder(run) / "snapshot.parquet"
    if not file.is_file():
        return None
    schema = pq.read_schema(file)
    name = layer_column(key) if kind == "layer" else tag_column(key)
    if kind == "tag" and tag_flag(key, value) in schema.names:
        return _select(file, _quoted(tag_flag(key, value)))
    if name not in schema.names:
        return None
    if pa.types.is_list(schema.field(name).type):
        return _select(file, f"list_contains({_quoted(name)}, {_text(value)})")
    return _select(file, f"{_quoted(name)} = {_text(value)}")


def _select(file: Path, condition: str) -> str:
    return f"SELECT ordinal FROM read_parquet({_text(str(file))}) WHERE {condition}"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
