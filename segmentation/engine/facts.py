"""The facts of one run: DuckDB views over the mirror's files, up to a watermark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segmentation.models import MirrorManifest

from .mirror_files import MirrorFile
from .schema import MIRROR_KINDS, PROPERTY_SCALE, name_part

# A property counts as a number when it is a plain decimal with at most 18 digits before and 9
# after the point; anything else is missing. The oracle reads them the same way.
NUMBER_PATTERN = r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$"

_BIRTHDAYS = {
    "customers": ", datediff('day', DATE '1970-01-01', r.birth_date)::INTEGER AS birth_day,"
    " month(r.birth_date)::INTEGER AS birth_month"
}


def property_columns(key: str) -> tuple[str, str]:
    """The names of an event property's text and number column."""
    return f"text:{name_part(key)}", f"number:{name_part(key)}"


def open_facts(
    duck: duckdb.DuckDBPyConnection,
    manifest: MirrorManifest,
    folder: Path,
    *,
    watermark: int,
    properties: Sequence[str] = (),
) -> None:
    """Create one view per kind, named like the kind, with the facts recorded up to `watermark`.

    Events get a text and a number column for each key in `properties`.
    """
    files = [MirrorFile(**file) for file in manifest.files]
    for kind in MIRROR_KINDS:
        rows = [file for file in files if file.kind == kind and file.role == "rows"]
        dead = [file for file in files if file.kind == kind and file.role == "tombstones"]
        rows = [file for file in rows if file.rows]
        bounded = watermark < manifest.generation
        duck.execute(f'CREATE OR REPLACE VIEW "{kind}_all" AS {_rows(kind, rows, folder)}')
        conditions = [f"r.generation <= {watermark}"] if bounded else []
        source = f'"{kind}_all" r'
        if dead:
            paths = [str(folder / file.path) for file in dead]
            source += (
                " LEFT JOIN (SELECT id, max(generation) AS generation FROM"
                f" read_parquet({paths!r}) WHERE generation <= {watermark} GROUP BY id) d"
                " ON d.id = r.id"
            )
            conditions.append("(d.generation IS NULL OR r.generation >= d.generation)")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        extra = kind_columns(kind, properties)
        duck.execute(f'CREATE OR REPLACE VIEW "{kind}" AS SELECT r.*{extra} FROM {source}{where}')


def kind_columns(kind: str, properties: Sequence[str]) -> str:
    """What a kind's view has besides the mirror's columns, as the end of a list of selects from
    the rows `r`."""
    return _property_selects(properties) if kind == "events" else _BIRTHDAYS.get(kind, "")


def _rows(kind: str, files: Sequence[MirrorFile], folder: Path) -> str:
    if files:
        return f"SELECT * FROM read_parquet({[str(folder / file.path) for file in files]!r})"
    names = {
        pa.int64(): "BIGINT",
        pa.int32(): "INTEGER",
        pa.bool_(): "BOOLEAN",
        pa.string(): "VARCHAR",
        pa.date32(): "DATE",
    }
    columns = ", ".join(
        f'NULL::{names[field.type]} AS "{field.name}"' for field in MIRROR_KINDS[kind].schema
    )
    return f"SELECT {columns} WHERE false"


def _property_selects(properties: Sequence[str]) -> str:
    selects = ""
    for key in properties:
        text, number = (name.replace('"', '""') for name in property_columns(key))
        pointer = "/" + key.replace("~", "~0").replace("/", "~1").replace("'", "''")
        value = f"nullif(json_extract_string(r.properties, '{pointer}'), '')"
        selects += (
            f', {value} AS "{text}"'
            f", CASE WHEN regexp_matches({value}, '{NUMBER_PATTERN}')"
            f" THEN (CAST({value} AS DECIMAL(27, 9)) * {PROPERTY_SCALE}::DECIMAL(10, 0))"
            f'::DECIMAL(38, 0) END AS "{number}"'
        )
    return selects


def open_refunds(duck: duckdb.DuckDBPyConnection, *, as_of: int, unit: int) -> None:
    """Create `order_refunds` (order_id, refunded) and `line_refunds` (id, refunded) at `as_of`.

    `refunded` of a line is what its own refunds took (never more than the line's amount) plus its
    share of the order's refunds without line: in proportion to what the line refunds left, in
    multiples of `unit` (the currency's smallest unit in 1/10000), largest remainder, ties by
    line_no, never more than what was left. Exact integers throughout.
    """
    duck.execute(
        "CREATE OR REPLACE TEMP TABLE order_refunds AS SELECT order_id,"
        " CAST(sum(amount) AS BIGINT) AS refunded"
        f" FROM refunds WHERE refunded_at < {int(as_of)} GROUP BY order_id"
    )
    lines = duck.execute(
        "WITH taken AS (SELECT order_id, line_no, CAST(sum(amount) AS BIGINT) AS refunded"
        f" FROM refunds WHERE refunded_at < {int(as_of)} AND line_no IS NOT NULL GROUP BY ALL),"
        " whole AS (SELECT order_id, CAST(sum(amount) AS BIGINT) AS refunded"
        f" FROM refunds WHERE refunded_at < {int(as_of)} AND line_no IS NULL GROUP BY ALL)"
        " SELECT l.order_id, l.id, l.amount, least(l.amount, coalesce(t.refunded, 0)) AS own,"
        " coalesce(w.refunded, 0) AS whole FROM order_lines l"
        " SEMI JOIN order_refunds r ON r.order_id = l.order_id"
        " LEFT JOIN taken t ON t.order_id = l.order_id AND t.line_no = l.line_no"
        " LEFT JOIN whole w ON w.order_id = l.order_id ORDER BY l.order_id, l.line_no"
    ).fetchnumpy()
    refunded = _with_shares(lines, unit=unit)
    duck.register("line_refunds_source", pa.table({"id": lines["id"], "refunded": refunded}))
    duck.execute("CREATE OR REPLACE TEMP TABLE line_refunds AS SELECT * FROM line_refunds_source")
    duck.unregister("line_refunds_source")


def _with_shares(lines: Mapping[str, Any], *, unit: int) -> npt.NDArray[np.int64]:
    """`own` plus the share of `whole` of each line; lines sorted by order and line_no."""
    own = np.asarray(lines["own"], dtype=np.int64)
    if not len(own):
        return own
    left = (np.asarray(lines["amount"], dtype=np.int64) - own) // unit
    orders = np.asarray(lines["order_id"], dtype=np.int64)
    starts = np.flatnonzero(np.r_[True, orders[1:] != orders[:-1]])
    sizes = np.diff(np.r_[starts, len(orders)])
    group = np.repeat(np.arange(len(starts)), sizes)
    total = np.add.reduceat(left, starts)
    to_give = np.minimum(np.asarray(lines["whole"], dtype=np.int64)[starts] // unit, total)
    # Python integers where the product could leave int64.
    wide = bool(len(left)) and int(left.max()) * max(int(to_give.max()), 1) >= 2**62
    kind = np.dtype(object) if wide else np.dtype(np.int64)
    product: Any = left.astype(kind) * to_give[group].astype(kind)
    divisor: Any = np.maximum(total, 1)[group].astype(kind)
    share = (product // divisor).astype(np.int64)
    remainder = product % divisor
    short = to_give - np.add.reduceat(share, starts)
    if wide:
        ranked = sorted(range(len(group)), key=lambda i: (group[i], -remainder[i], i))
        order = np.array(ranked, dtype=np.int64)
    else:
        order = np.lexsort((np.arange(len(group)), -remainder.astype(np.int64), group))
    position = np.arange(len(group)) - np.repeat(starts, sizes)
    share[order] += (position < short[group]).astype(np.int64)
    granted: npt.NDArray[np.int64] = own + share * unit
    return granted
