"""Tiers that changed between runs: how a run learns of them, and how the two never collide.

Both write memberships only while they hold one lock. A run knows the batches of the instant path
up to the number it wrote down when it read the memberships it starts from; where a later batch has
changed a membership meanwhile, the run leaves it alone and marks the customer again.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.db import connection
from django.db.models import Max

from membership.models import InstantBatch
from membership.services.tier_changes import MEMBERSHIPS
from segmentation.engine.mirror_files import fsync_path
from segmentation.engine.results import run_folder
from segmentation.models import Run

_LOCK = 7_305_201
_FILE = "instant.parquet"

_COLUMNS = (
    "k.ordinal, p.key, m.tier, m.rank, "
    + ", ".join(
        f"(EXTRACT(EPOCH FROM m.{name}) * 1000000)::bigint"
        for name in ("since", "until", "grace_until")
    )
    + " FROM membership_membership m JOIN membership_program p ON p.id = m.program_id"
    " JOIN segmentation_customer k ON k.id = m.customer_id AND k.erased_at IS NULL"
)

_ENDED = (
    "SELECT DISTINCT k.ordinal, p.key FROM membership_transition t"
    " JOIN membership_program p ON p.id = t.program_id"
    " JOIN segmentation_customer k ON k.id = t.customer_id AND k.erased_at IS NULL"
    " WHERE t.instant_batch_id > %s AND NOT EXISTS (SELECT FROM membership_membership m"
    " WHERE m.program_id = t.program_id AND m.customer_id = t.customer_id) ORDER BY 1, 2"
)


def lock_tiers() -> None:
    """From here to the end of the transaction nobody else changes memberships. The lock of the
    definitions comes before it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def newest_batch() -> int:
    """The number of the newest batch of the instant path, 0 before the first."""
    return InstantBatch.objects.aggregate(n=Max("pk"))["n"] or 0


def held_now(customers: Collection[int]) -> pa.Table:
    """The memberships of these customers (primary keys) as they are: the columns of MEMBERSHIPS."""
    return _memberships("WHERE m.customer_id = ANY(%s)", [list(customers)])


def moved_since(base: Run | None) -> pa.Table:
    """The memberships that changed since `base` read where it started, by the instant path or a
    merge of customers; one that ended has no tier."""
    if base is None:
        return MEMBERSHIPS.empty_table()
    since = [base.instant_before or 0]
    there = _memberships(
        "WHERE (m.program_id, m.customer_id) IN (SELECT t.program_id, t.customer_id"
        " FROM membership_transition t WHERE t.instant_batch_id > %s)",
        since,
    )
    with connection.cursor() as cursor:
        cursor.execute(_ENDED, since)
        rows = [dict(zip(("ordinal", "program"), row, strict=True)) for row in cursor.fetchall()]
    return pa.concat_tables([there, pa.Table.from_pylist(rows, schema=MEMBERSHIPS)])


def with_moved(held: pa.Table, moved: pa.Table) -> pa.Table:
    """`held` with the rows of `moved` in the place of those of the same customer and program."""
    if not moved.num_rows:
        return held
    keys = ["ordinal", "program"]
    kept = held.join(moved.select(keys), keys=keys, join_type="left anti")
    there = moved.filter(pc.is_valid(moved["tier"]))
    return pa.concat_tables([kept.select(MEMBERSHIPS.names), there]).combine_chunks()


def write_moved(moved: pa.Table, folder: Path) -> None:
    """Pin what a run read of `moved_since` among its files."""
    if moved.num_rows:
        pq.write_table(moved, folder / _FILE)
        fsync_path(folder / _FILE)


def pinned_moved(run: Run) -> pa.Table:
    """What a finished run had read of `moved_since`."""
    path = run_folder(run.pk) / _FILE
    return pq.read_table(path) if path.is_file() else MEMBERSHIPS.empty_table()


def _memberships(where: str, values: list[Any]) -> pa.Table:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS} {where} ORDER BY k.ordinal, p.key", values)
        rows = cursor.fetchall()
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(MEMBERSHIPS)
    return pa.table(
        [
            pa.array(list(column), field.type)
            for column, field in zip(columns, MEMBERSHIPS, strict=True)
        ],
        schema=MEMBERSHIPS,
    )
