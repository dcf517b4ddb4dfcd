"""The temporary tables of one import: rows are copied here first and resolved in sets.

They belong to the connection and are dropped when the import is over; a killed import leaves
nothing behind. COPY goes only here, never into a table of facts.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
from django.db import connection

from segmentation.domain.facts import ColumnType, FactKind

from .chunks import Mask, Refusal
from .normalise import StagedRows
from .shapes import literal, quoted

_SQL_TYPES: Mapping[ColumnType, str] = {
    "id": 'text COLLATE "C"',
    "text": 'text COLLATE "C"',
    "time": "timestamptz",
    "date": "date",
    "money": "numeric",
    "quantity": "numeric",
    "rate": "numeric",
    "whole": "bigint",
    "boolean": "boolean",
    "status": "text",
    "currency": "text",
    "json": "jsonb",
    "tags": "text[]",
}
_TEMPORARY = (
    "import_rows",
    "import_rejects",
    "import_orders",
    "import_claims",
    "import_doubtful",
    "import_chain",
    "import_targets",
    "import_rates",
    "import_aliases",
)
_WRITE_OPTIONS = pyarrow.csv.WriteOptions(include_header=False)


@dataclass(frozen=True, slots=True)
class Sent:
    """Which staged columns were sent: in every row (`always`), or by the bits of `given`."""

    always: frozenset[str]
    by_bit: tuple[str, ...] = ()

    def condition(self, name: str) -> str:
        """SQL, true in the rows that sent this column; the texts TRUE and FALSE when it is one."""
        if name in self.always:
            return "TRUE"
        if name in self.by_bit:
            return f"get_bit(s.given, {self.by_bit.index(name)}) = 1"
        return "FALSE"


def run(sql: str) -> int:
    """Execute; the number of rows written. Values are quoted by the caller (`literal`)."""
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return int(cursor.rowcount)


def fetch(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


@contextmanager
def staging_tables(kind: FactKind, *, tag_columns: Iterable[str], sent: Sent) -> Iterator[None]:
    """Make the tables for rows of a kind; drop them at the end, also inside a larger transaction.

    After an error they go with the transaction that the error rolls back.
    """
    drop()
    columns = [f"{quoted(column.name)} {_SQL_TYPES[column.type]}" for column in kind.columns]
    columns += [f"{name} text[]" for name in tag_columns]
    if kind.name == "orders":
        columns.append("loose boolean")
    if sent.by_bit:
        columns.append("given bit varying")
    run(f"CREATE TEMPORARY TABLE import_rows (sequence bigint, {', '.join(columns)})")
    run("CREATE TEMPORARY TABLE import_rejects (sequence bigint, code text, message text)")
    yield
    drop()


def drop() -> None:
    names = ", ".join(f"pg_temp.{name}" for name in _TEMPORARY)
    run(f"DROP TABLE IF EXISTS {names}")


def copy_rows(rows: StagedRows, *, sent: Sent) -> None:
    """Append rows to the staging table."""
    table = rows.table
    if table.num_rows == 0:
        return
    if sent.by_bit and rows.given is not None:
        table = table.append_column("given", _bits(rows.given, sent.by_bit))
    names = ", ".join(quoted(name) for name in table.column_names)
    _copy(table, f"import_rows ({names})")


def _bits(given: Mapping[str, Mask], names: tuple[str, ...]) -> pa.Array:
    rows = np.stack([given[name] for name in names], axis=1).astype("u1") + ord("0")
    return pa.array([row.tobytes().decode() for row in rows], pa.string())


def copy_refusals(refused: Iterable[Refusal]) -> None:
    """Note refused rows with their sentence; only for rows that are not staged."""
    table = pa.table(
        {
            "sequence": pa.array([refusal.sequence for refusal in refused], pa.int64()),
            "code": [refusal.code for refusal in refused],
            "message": [refusal.message for refusal in refused],
        }
    )
    if table.num_rows:
        _copy(table, "import_rejects")


def _copy(table: pa.Table, target: str) -> None:
    buffer = io.BytesIO()
    pyarrow.csv.write_csv(table, buffer, _WRITE_OPTIONS)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {target} FROM STDIN (FORMAT csv)") as copy,
    ):
        copy.write(buffer.getbuffer())


def reject_where(code: str, query: str) -> int:
    """Take staged rows out and note why; `query` gives their sequence numbers. Returns how many."""
    return run(
        f"WITH gone AS (DELETE FROM import_rows s USING ({query}) q (sequence)"
        " WHERE q.sequence = s.sequence RETURNING s.sequence)"
        f" INSERT INTO import_rejects (sequence, code) SELECT sequence, {literal(code)} FROM gone"
    )
