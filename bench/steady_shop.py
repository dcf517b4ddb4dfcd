"""A shop of 1 million customers in PostgreSQL with orders, lines, refunds and tags.

Rows are written with COPY into tables without their secondary indexes, which are made again at the
end: an import of 60 million rows is measured elsewhere. The mirror is the product's own work.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
from definitions import CITY_TIERS, document
from generate import CATEGORIES, CHANNELS, STATUSES, Ints, Part, Size, count_parts, part_of
from shop import customers, install, make_batch

SEED = 1
TABLES = ("segmentation_order", "segmentation_orderline", "segmentation_refund",
          "segmentation_customertag")  # fmt: skip


def make_steady_shop(size: Size) -> None:
    """Everything before the first run, in the empty database that the connection leads to."""
    from django.db import connection

    _told("installation and definitions", lambda: install(document()))
    _told("customers", lambda: customers(size.customers))
    with _without_indexes():
        _told("orders, lines, refunds, tags", lambda: _facts(size))
    _told("statistics", lambda: _vacuum(connection))


def _told(what: str, make: Callable[[], object]) -> None:
    started = time.perf_counter()
    make()
    sys.stderr.write(f"{what}: {time.perf_counter() - started:.0f} s\n")
    sys.stderr.flush()


def _vacuum(connection: object) -> None:
    from django.db import connection as database

    with database.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


@contextmanager
def _without_indexes() -> Iterator[None]:
    """Indexes and keys of the fact tables but the primary ones, gone and made again."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid)"
            " FROM pg_constraint c WHERE c.conrelid::regclass::text = ANY(%s)"
            " AND contype IN ('u', 'f') ORDER BY contype = 'f'",
            [list(TABLES)],
        )
        constraints = cursor.fetchall()
        for table, name, _ in reversed(constraints):
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        cursor.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY(%s)"
            " AND indexname NOT LIKE '%%\\_pkey'",
            [list(TABLES)],
        )
        indexes = cursor.fetchall()
        for name, _ in indexes:
            cursor.execute(f"DROP INDEX {name}")
    yield
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
    statements = [definition for _, definition in indexes]
    statements += [f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}"
                   for table, name, text in constraints]  # fmt: skip
    for statement in statements:
        _told(statement[:90], lambda statement=statement: _run(statement))  # type: ignore[misc]


def _run(statement: str) -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(statement)


def _facts(size: Size) -> None:
    from django.db import connection

    batches = {kind: make_batch(kind, 0) for kind in ("orders", "order_lines", "refunds", "tags")}

    def write(number: int) -> None:
        try:
            for table, rows in _tables(part_of(size, number, seed=SEED), batches):
                _copy(table, rows)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write, range(count_parts(size))))
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}"
            )


def _copy(table: str, rows: pa.Table) -> None:
    from django.db import connection

    columns = ", ".join(f'"{name}"' for name in rows.column_names)
    with (
        connection.cursor() as cursor,
        cursor.copy(f"COPY {table} ({columns}) FROM STDIN (FORMAT csv)") as copy,
    ):
        for batch in rows.to_batches(200_000):
            buffer = io.BytesIO()
            pa_csv.write_csv(batch, buffer, pa_csv.WriteOptions(include_header=False))
            copy.write(buffer.getbuffer())


def _tables(part: Part, batches: dict[str, int]) -> Iterator[tuple[str, pa.Table]]:
    """Ids are those of the generator, as in its mirror files."""

    def money(units: Ints) -> pa.Array:
        return pa.Array.from_buffers(
            pa.decimal128(18, 4), len(units),
            [None, pa.py_buffer(np.stack([units, units >> 63], axis=1).astype(np.int64).tobytes())],
        )  # fmt: skip

    def times(instants: Ints) -> pa.Array:
        return pa.array(instants.astype("datetime64[us]"), pa.timestamp("us", tz="UTC"))

    def named(letter: str, numbers: Ints) -> pa.Array:
        return pa.array(np.char.add(letter, numbers.astype(str)))

    def of(kind: str, count: int) -> pa.Array:
        return pa.array(np.full(count, batches[kind]))

    ids = part.first_order + np.arange(len(part.amount))
    yield "segmentation_order", pa.table({
        "id": ids + 1, "batch_id": of("orders", len(ids)), "external_id": named("O", ids),
        "customer_id": part.ordinal + 1, "placed_at": times(part.placed_at),
        "amount": money(part.amount), "discount": money(part.discount),
        "channel": pa.array(CHANNELS[part.channel]), "is_promotion": part.discount > 0,
        "status": pa.array(STATUSES[part.status]), "store_id": named("S", part.store),
        "currency": pa.array(np.full(len(ids), "USD")),
    })  # fmt: skip
    lines = np.arange(len(part.line_order))
    yield "segmentation_orderline", pa.table({
        "id": part.first_line + lines + 1, "batch_id": of("order_lines", len(lines)),
        "order_id": part.first_order + part.line_order + 1, "line_no": part.line_no,
        "sku": named("A", part.sku), "category": pa.array(CATEGORIES[part.category]),
        "quantity": money(part.quantity), "amount": money(part.line_amount),
        "discount": money(part.line_discount),
    })  # fmt: skip
    refunded = part.first_order + part.refund_order
    yield "segmentation_refund", pa.table({
        "id": refunded + 1, "batch_id": of("refunds", len(refunded)),
        "external_id": named("R", refunded), "order_id": refunded + 1,
        "line_no": pa.array(part.refund_line, mask=part.refund_line == 0),
        "refunded_at": times(part.refunded_at), "amount": money(part.refund_amount),
    })  # fmt: skip
    here = part.first_customer + np.arange(part.customers)
    tagged = here[here % 5 < 3]
    yield "segmentation_customertag", pa.table({
        "id": tagged + 1, "batch_id": of("tags", len(tagged)), "customer_id": tagged + 1,
        "group": pa.array(np.full(len(tagged), "city_tier")),
        "value": pa.array(np.array(CITY_TIERS)[tagged % 3]),
        "is_removed": np.zeros(len(tagged), bool),
    })  # fmt: skip
