"""The facts of a few customers, read from PostgreSQL as the mirror would hold them.

The same queries that fill the mirror, narrowed to some customers, give the same columns; the same
compiled plan then runs over them. So the instant path has no second meaning of any metric.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import duckdb
import pyarrow as pa
from adbc_driver_postgresql import dbapi

from segmentation.domain.definitions import Catalog, FactMetric

from .facts import kind_columns
from .mirror_files import conninfo, shaped
from .schema import MIRROR_KINDS

_NEVER = 9_000_000_000_000_000_000


def kinds_read(catalog: Catalog) -> frozenset[str]:
    """The kinds of fact that the plan of a catalog reads; the others may stay away."""
    sources = {one.source for one in catalog.metrics.values() if isinstance(one, FactMetric)}
    found = {"customers"} | sources
    if sources & {"orders", "order_lines", "referrals"}:
        # What a refund without line takes from each line needs the lines, and the orders' refunds.
        found |= {"orders", "order_lines", "refunds"}
    if any(not group.is_derived for group in catalog.tag_groups.values()):
        found.add("tags")
    return frozenset(found)


def open_direct_facts(
    duck: duckdb.DuckDBPyConnection,
    customers: Collection[int],
    *,
    kinds: Collection[str],
    properties: Sequence[str] = (),
) -> None:
    """Create one view per kind, as `open_facts` does, with everything recorded so far of these
    customers (primary keys) and nothing of others; kinds that are not in `kinds` are empty.

    Orders and their refunds are there of the customers they referred, too: a referral counts by
    them. All is read in one snapshot, taken now.
    """
    sources: dict[str, pa.Table] = {}
    with dbapi.connect(conninfo()) as postgres, postgres.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for kind, spec in MIRROR_KINDS.items():
            if kind not in kinds:
                sources[kind] = spec.schema.empty_table()
                continue
            cursor.execute(_query(kind, customers, kinds))
            batches = [shaped(one, spec) for one in cursor.fetch_record_batch() if one.num_rows]
            sources[kind] = pa.Table.from_batches(batches, spec.schema)
        postgres.rollback()
    for kind, table in sources.items():
        duck.register(f"{kind}_read", table)
        extra = kind_columns(kind, properties)
        duck.execute(
            f'CREATE OR REPLACE TEMP TABLE "{kind}" AS SELECT r.*{extra} FROM "{kind}_read" r'
        )
        duck.unregister(f"{kind}_read")


def _query(kind: str, customers: Collection[int], kinds: Collection[str]) -> str:
    ids = f"ANY (ARRAY[{', '.join(str(int(customer)) for customer in customers)}]::bigint[])"
    buyers = f"t.customer_id = {ids}"
    if "referrals" in kinds:
        # One list, not two conditions with OR: for those PostgreSQL would read every order.
        buyers = (
            f"t.customer_id IN (SELECT c.id FROM segmentation_customer c WHERE c.id = {ids}"
            " UNION SELECT r.referee_id FROM segmentation_referral r"
            f" WHERE r.referrer_id = {ids})"
        )
    orders = _rows("segmentation_order", buyers)
    of_orders = f"t.order_id IN (SELECT t.id FROM segmentation_order t WHERE {buyers})"
    condition = {
        "customers": f"t.id = {ids}",
        "orders": buyers,
        "order_lines": of_orders,
        "refunds": of_orders,
        "referrals": f"t.referrer_id = {ids}",
    }.get(kind, f"t.customer_id = {ids}")
    spec = MIRROR_KINDS[kind]
    return spec.sql.format(table=_rows(spec.table, condition), orders=orders)


def _rows(table: str, condition: str) -> str:
    return (
        f"(SELECT t.*, 0::bigint AS generation, {_NEVER}::bigint AS dead FROM {table} t"
        f" WHERE {condition})"
    )
