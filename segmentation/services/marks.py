"""Marks: which customers the instant path has to look at, because facts of theirs came in.

A mark is written in the transaction that records the facts, so whoever sees the mark sees the
facts. It is removed in the transaction that decides about the customer's tiers: a crash before
that loses nothing, and one after it has nothing left to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain

from django.db import connection
from django.db.models import F

from segmentation.models import CustomerMark, FactBatch

# A fact of the near future (a till whose clock is ahead) is looked at when its time has come. One
# further ahead is left to the runs.
AHEAD = timedelta(days=1)
_PAUSE = timedelta(seconds=30)
_LONGEST_PAUSE = timedelta(hours=1)
_ROWS_PER_CUSTOMER = 8

_OLD = (
    "SELECT (v.row->>'{column}')::bigint, NULL::timestamptz FROM segmentation_factversion v"
    " WHERE v.kind = '{kind}' AND v.superseded_by_id = %(batch)s"
)
# Each of an order's times may be the one that a metric reads.
_ORDER_OWNERS = (
    "SELECT o.customer_id, x.at FROM segmentation_order o"
    " CROSS JOIN LATERAL (VALUES (o.placed_at), (o.paid_at), (o.completed_at)) x (at)"
    " WHERE o.batch_id = %(batch)s AND x.at IS NOT NULL"
    f" UNION ALL {_OLD.format(column='customer_id', kind='orders')}"
)
# A referral converts with an order of the customer it brought.
_WITH_REFERRERS = (
    "WITH owners (customer_id, at) AS ({owners}) SELECT customer_id, at FROM owners"
    " UNION ALL SELECT r.referrer_id, w.at FROM owners w"
    " JOIN segmentation_referral r ON r.referee_id = w.customer_id"
)
_TOUCHED = {
    "customers": "SELECT c.id, NULL::timestamptz FROM segmentation_customer c"
    " WHERE c.batch_id = %(batch)s",
    "orders": _WITH_REFERRERS.format(owners=_ORDER_OWNERS),
    "order_lines": "SELECT o.customer_id, NULL::timestamptz FROM segmentation_orderline l"
    " JOIN segmentation_order o ON o.id = l.order_id WHERE l.batch_id = %(batch)s",
    "refunds": _WITH_REFERRERS.format(
        owners="SELECT o.customer_id, f.refunded_at AS at FROM segmentation_refund f"
        " JOIN segmentation_order o ON o.id = f.order_id WHERE f.batch_id = %(batch)s"
        # A refund that went over to another order gives the former one its money back.
        " UNION ALL SELECT o.customer_id, NULL FROM segmentation_factversion v"
        " JOIN segmentation_order o ON o.id = (v.row->>'order_id')::bigint"
        " WHERE v.kind = 'refunds' AND v.superseded_by_id = %(batch)s"
    ),
    "events": "SELECT e.customer_id, e.occurred_at FROM segmentation_event e"
    f" WHERE e.batch_id = %(batch)s UNION ALL {_OLD.format(column='customer_id', kind='events')}",
    "referrals": "SELECT r.referrer_id, r.occurred_at FROM segmentation_referral r"
    f" WHERE r.batch_id = %(batch)s"
    f" UNION ALL {_OLD.format(column='referrer_id', kind='referrals')}",
    "tags": "SELECT t.customer_id, NULL::timestamptz FROM segmentation_customertag t"
    " WHERE t.batch_id = %(batch)s",
}


Taken = Mapping[int, tuple[int, ...]]
"""Customers (primary keys), those marked first come first, with the marks that name them."""


def mark_batch(batch: FactBatch, *, now: datetime) -> None:
    """Mark everybody whose facts `batch` wrote or took away, once for each time from which one of
    them counts. `now` is the project's clock; must run in the transaction that wrote them."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO segmentation_customermark"
            " (customer_id, batch_id, due_at, marked_at, attempts, error)"
            " SELECT DISTINCT t.customer_id, %(batch)s::bigint,"
            " CASE WHEN t.at >= %(now)s AND t.at < %(ahead)s"
            # Facts at the as-of itself do not count yet: windows are half-open.
            " THEN t.at + INTERVAL '1 microsecond' ELSE %(now)s END, %(recorded)s::timestamptz, 0,"
            f" '' FROM ({_TOUCHED[batch.kind]}) t (customer_id, at)",
            {
                "batch": batch.pk,
                "now": now,
                "ahead": now + AHEAD,
                "recorded": batch.recorded_at,
            },
        )


def mark_again(customers: Sequence[int], *, now: datetime, real: datetime) -> None:
    """Mark customers about whom a run could not decide, because the instant path just had."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO segmentation_customermark"
            " (customer_id, batch_id, due_at, marked_at, attempts, error)"
            " SELECT c.id, NULL, %s, %s, 0, '' FROM segmentation_customer c WHERE c.id = ANY(%s)",
            [now, real, list(customers)],
        )


def take_marks(*, most: int, now: datetime, real: datetime) -> Taken:
    """At most `most` customers that are due, without locking or changing anything.

    Reads a bounded number of rows, so that a thousand marks of one customer keep nobody waiting
    for long.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, customer_id FROM segmentation_customermark"
            " WHERE due_at <= %s AND (retry_at IS NULL OR retry_at <= %s) ORDER BY id LIMIT %s",
            [now, real, most * _ROWS_PER_CUSTOMER],
        )
        rows = cursor.fetchall()
    taken: dict[int, tuple[int, ...]] = {}
    for mark, customer in rows:
        if customer in taken or len(taken) < most:
            taken[customer] = (*taken.get(customer, ()), mark)
    return taken


def still_there(taken: Taken) -> Taken:
    """Without the marks that somebody else has removed since."""
    ids = list(chain.from_iterable(taken.values()))
    left = set(CustomerMark.objects.filter(pk__in=ids).values_list("pk", flat=True))
    return {
        customer: kept
        for customer, marks in taken.items()
        if (kept := tuple(mark for mark in marks if mark in left))
    }


def remove_marks(taken: Taken) -> None:
    """The customers were looked at."""
    CustomerMark.objects.filter(pk__in=list(chain.from_iterable(taken.values()))).delete()


def postpone(taken: Taken, *, error: str, real: datetime) -> None:
    """The computation failed on these: look again later, ever more rarely, at least every hour."""
    rows = CustomerMark.objects.filter(pk__in=list(chain.from_iterable(taken.values())))
    worst = max(rows.values_list("attempts", flat=True), default=0)
    pause = min(_PAUSE * 2 ** min(worst, 10), _LONGEST_PAUSE)
    rows.update(attempts=F("attempts") + 1, retry_at=real + pause, error=error)


def remove_covered(*, watermark: int, as_of: datetime) -> int:
    """Remove the marks whose facts a published run has seen at a time when they counted, and those
    that runs of an earlier as-of made: runs don't overlap, so this one began behind those."""
    with connection.cursor() as cursor:
        cursor.execute(
            "DELETE FROM segmentation_customermark m USING segmentation_factbatch b"
            " WHERE b.id = m.batch_id AND b.generation <= %s AND m.due_at <= %s",
            [watermark, as_of],
        )
        covered = cursor.rowcount
        cursor.execute(
            "DELETE FROM segmentation_customermark WHERE batch_id IS NULL AND due_at < %s", [as_of]
        )
        return int(covered + cursor.rowcount)


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many marks wait (counted up to a bound) and since when the oldest does (real clock)."""

    marks: int
    oldest: datetime | None
    failing: int


def waiting_marks(*, now: datetime, most: int = 100_000) -> Waiting:
    """What the instant path has before it; marks of the future are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), min(marked_at), count(*) FILTER (WHERE attempts > 0) FROM (SELECT"
            " marked_at, attempts FROM segmentation_customermark WHERE due_at <= %s"
            " ORDER BY id LIMIT %s) m",
            [now, most],
        )
        marks, oldest, failing = cursor.fetchone()
    return Waiting(marks, oldest, failing)
