"""The questions of the data-quality report, each one query that reads its tables once.

SQL names: `recorded_from` the start of the report's days (by the real clock), `placed_from` and
`placed_to` the interval of the orders it looks at (by the project's clock), `zone` the project's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

SAMPLE = 20
LATE = "1 day"

ROWS_BY_DAY = """
    SELECT (b.recorded_at AT TIME ZONE %(zone)s)::date, b.source,
           sum(b.inserted + b.updated), sum(b.rejected), count(*)
    FROM segmentation_factbatch b WHERE b.recorded_at >= %(recorded_from)s
    GROUP BY 1, 2 ORDER BY 1, 2
"""

REJECTED_BY_KIND = """
    SELECT b.kind, b.source, sum(b.read), sum(b.rejected)
    FROM segmentation_factbatch b
    WHERE b.recorded_at >= %(recorded_from)s
    GROUP BY 1, 2 HAVING sum(b.rejected) > 0 ORDER BY 4 DESC, 1, 2
"""

REJECT_REASONS = """
    SELECT j.parameters ->> 'kind', r.key, sum(r.value::bigint)
    FROM segmentation_job j, jsonb_each_text(j.result -> 'reasons') r
    WHERE j.kind = 'import' AND j.status = 'done' AND j.finished_at >= %(recorded_from)s
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""


@dataclass(frozen=True, slots=True)
class TimedTable:
    """A table of facts and the column that says when they happened."""

    table: str
    time: str


TIMED: Mapping[str, TimedTable] = {
    "orders": TimedTable("segmentation_order", "placed_at"),
    "refunds": TimedTable("segmentation_refund", "refunded_at"),
    "events": TimedTable("segmentation_event", "occurred_at"),
    "referrals": TimedTable("segmentation_referral", "occurred_at"),
}


def late_facts(kind: str) -> str:
    """Rows recorded since `recorded_from`, how many of them late, and the longest delay in days."""
    found = TIMED[kind]
    return f"""
        SELECT count(*),
               count(*) FILTER (WHERE f.{found.time} < b.recorded_at - interval '{LATE}'),
               max(EXTRACT(epoch FROM b.recorded_at - f.{found.time}) / 86400)
        FROM {found.table} f JOIN segmentation_factbatch b ON b.id = f.batch_id
        WHERE b.recorded_at >= %(recorded_from)s
    """


_RECENT = "o.placed_at >= %(placed_from)s AND o.placed_at < %(placed_to)s"

ORDERS = f"""
    SELECT count(*), count(*) FILTER (WHERE c.is_stub),
           count(*) FILTER (WHERE NOT EXISTS (
               SELECT FROM segmentation_orderline l WHERE l.order_id = o.id)),
           count(*) FILTER (WHERE o.amount = 0)
    FROM segmentation_order o JOIN segmentation_customer c ON c.id = o.customer_id
    WHERE {_RECENT}
"""

# Fields by table; what is missing here weakens filters, stores' row scopes or the overlap of
# identities. `o` is bounded by the interval, customers are all that are not erased.
FIELDS: Mapping[str, tuple[str, ...]] = {
    "customers": ("phone", "gender", "birth_date", "city", "channel", "home_store",
                  "registered_at", "consent_marketing"),
    "orders": ("channel", "store_id", "staff_id", "paid_at", "discount", "is_promotion",
               "payer_ref"),
    "order_lines": ("category", "quantity", "cost", "is_durable", "qualifies"),
}  # fmt: skip
_FROM = {
    "customers": "segmentation_customer t WHERE t.erased_at IS NULL AND t.merged_into_id IS NULL",
    "orders": f"segmentation_order t WHERE {_RECENT.replace('o.', 't.')}",
    "order_lines": (
        f"segmentation_orderline t JOIN segmentation_order o ON o.id = t.order_id WHERE {_RECENT}"
    ),
}


def missing_shares(kind: str) -> str:
    """The number of rows, then how many lack each of the kind's FIELDS."""
    counts = ", ".join(f"count(*) FILTER (WHERE t.{name} IS NULL)" for name in FIELDS[kind])
    return f"SELECT count(*), {counts} FROM {_FROM[kind]}"


STUBS = """
    SELECT count(*), count(*) FILTER (WHERE is_stub)
    FROM segmentation_customer WHERE erased_at IS NULL AND merged_into_id IS NULL
"""

_DUPLICATES = f"""
    SELECT o.customer_id, o.placed_at, o.amount, count(*) AS times,
           min(o.external_id) AS first, max(o.external_id) AS last
    FROM segmentation_order o
    WHERE {_RECENT} AND o.amount > 0 AND o.status <> 'cancelled'
    GROUP BY 1, 2, 3 HAVING count(*) > 1
"""

# The whole is counted and a sample named, in one pass.
DUPLICATES = f"""
    WITH groups AS MATERIALIZED ({_DUPLICATES}),
    newest AS (SELECT * FROM groups ORDER BY placed_at DESC, customer_id LIMIT {SAMPLE})
    SELECT (SELECT count(*) FROM groups), (SELECT COALESCE(sum(times - 1), 0) FROM groups),
           COALESCE((SELECT sum(amount * (times - 1)) FROM groups), 0),
           COALESCE((SELECT jsonb_agg(jsonb_build_object(
               'customer', c.external_id, 'customer_pk', c.id, 'placed_at', n.placed_at,
               'amount', n.amount::text, 'times', n.times, 'first', n.first, 'last', n.last)
               ORDER BY n.placed_at DESC, c.id)
             FROM newest n JOIN segmentation_customer c ON c.id = n.customer_id), '[]')
"""
