"""The queries that read facts for the mirror: a step's new rows, or everything there is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .schema import MIRROR_KINDS

_NEVER = 9_000_000_000_000_000_000  # "dead" of a row that is current


@dataclass(frozen=True, slots=True)
class MirrorQueries:
    """Two queries: the rows (the kind's columns) and the tombstones (`id`, `generation`)."""

    rows: str
    tombstones: str


def step_queries(kind: str, *, batches: Sequence[int], generation: int) -> MirrorQueries:
    """What `batches` wrote of `kind`, all at `generation`, and what they replaced.

    A changed order also replaces its lines, because they carry its columns.
    """
    spec = MIRROR_KINDS[kind]
    array = f"ARRAY[{', '.join(str(int(batch)) for batch in batches)}]::bigint[]"
    pending = f"ANY ({array})"
    replaced = (
        "SELECT DISTINCT v.row_id AS id FROM segmentation_factversion v"
        f" WHERE v.kind = '{kind}' AND v.superseded_by_id = {pending}"
    )
    conditions = [f"t.batch_id = {pending}"]
    if kind == "order_lines":
        changed_orders = (
            "SELECT v.row_id FROM segmentation_factversion v"
            f" WHERE v.kind = 'orders' AND v.superseded_by_id = {pending}"
        )
        # A second scan instead of OR: with that the planner reads all lines for one changed order.
        conditions.append(f"t.batch_id <> ALL ({array}) AND t.order_id IN ({changed_orders})")
        replaced += f" UNION SELECT t.id FROM {spec.table} t WHERE t.order_id IN ({changed_orders})"
    parts = (
        f"SELECT t.*, {generation}::bigint AS generation, {_NEVER}::bigint AS dead"
        f" FROM {spec.table} t WHERE {condition}"
        for condition in conditions
    )
    table = f"({' UNION ALL '.join(parts)})"
    orders = (
        f"(SELECT t.*, 0::bigint AS generation, {_NEVER}::bigint AS dead FROM segmentation_order t)"
    )
    return MirrorQueries(
        rows=spec.sql.format(table=table, orders=orders),
        tombstones=f"SELECT r.id, {generation}::bigint AS generation FROM ({replaced}) r",
    )


def rebuild_queries(kind: str) -> MirrorQueries:
    """Every version of every fact of `kind` whose batch has a generation, with its tombstones."""
    spec = MIRROR_KINDS[kind]
    tombstones = _deaths(kind)
    if kind == "order_lines":
        tombstones += (
            " UNION SELECT l.id, d.generation FROM segmentation_orderline l"
            f" JOIN ({_deaths('orders')}) d ON d.id = l.order_id"
        )
    return MirrorQueries(
        rows=spec.sql.format(table=_all_versions(kind), orders=_all_versions("orders")),
        tombstones=tombstones,
    )


def _deaths(kind: str) -> str:
    return (
        "SELECT v.row_id AS id, s.generation FROM segmentation_factversion v"
        " JOIN segmentation_factbatch s ON s.id = v.superseded_by_id"
        f" WHERE v.kind = '{kind}' AND s.generation IS NOT NULL"
    )


def _all_versions(kind: str) -> str:
    table = MIRROR_KINDS[kind].table
    return (
        f"(SELECT t.*, b.generation, {_NEVER}::bigint AS dead FROM {table} t"
        " JOIN segmentation_factbatch b ON b.id = t.batch_id WHERE b.generation IS NOT NULL"
        f" UNION ALL SELECT (jsonb_populate_record(NULL::{table}, v.row)).*, b.generation,"
        f" COALESCE(s.generation, {_NEVER}) AS dead FROM segmentation_factversion v"
        " JOIN segmentation_factbatch b ON b.id = v.batch_id"
        " JOIN segmentation_factbatch s ON s.id = v.superseded_by_id"
        f" WHERE v.kind = '{kind}' AND b.generation IS NOT NULL"
        " AND b.generation < COALESCE(s.generation, b.generation + 1))"
    )
