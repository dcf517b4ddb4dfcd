"""One act of recording: staged rows become facts in one transaction, or nothing does.

Locks, in this order: the kind's (for customers: that of tags when the rows carry tags), then that
of customers. They are taken when all rows are staged, so a long file keeps nobody waiting while
it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from segmentation.domain.facts import FACT_KINDS
from segmentation.models import FactBatch

from . import customers, money, refunds, tag_writes
from .merge import Merge, Outcomes
from .normalise import Reading
from .shapes import shape_of
from .staging import Sent, fetch, run

_KIND_LOCKS = {name: 7_305_101 + index for index, name in enumerate(FACT_KINDS)}
_KIND_LOCKS["customers"] = customers.CUSTOMERS_LOCK


@dataclass(frozen=True, slots=True)
class Author:
    """Who records, how and when: `recorded_at` is the real clock, `now` the project's, against
    which tags expire."""

    source: FactBatch.Source
    actor: str
    recorded_at: datetime
    now: datetime
    file_name: str = ""

    def batch(self, kind: str) -> FactBatch:
        """An unsaved batch."""
        return FactBatch(
            kind=kind,
            source=self.source,
            actor=self.actor,
            file_name=self.file_name[-255:],
            recorded_at=self.recorded_at,
        )


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of a file or a call; `read` is the sum of the others."""

    kind: str
    read: int
    inserted: int
    unchanged: int
    updated: int
    rejected: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """The counts and, when asked for, the outcome of each row that was not rejected."""

    counts: Counts
    by_row: Mapping[int, str]


def record_staged(
    reading: Reading,
    *,
    sent: Sent,
    tag_columns: Mapping[str, str],
    strict: bool,
    author: Author,
    want_rows: bool = False,
) -> Recorded:
    """Record what is staged. Must run inside a transaction, with the staging tables there.

    Batches are written for what was written, one per kind of fact, and none when nothing was.
    """
    kind = reading.kind
    run("ANALYZE import_rows")
    _lock(kind.name, tag_columns)
    exclusive = tuple(sorted(key for key, group in reading.groups.items() if group.exclusive))
    shape = shape_of(
        kind.name,
        base_currency=reading.base_currency,
        now=author.now,
        exclusive_groups=exclusive if kind.name == "tags" else (),
    )
    if tag_columns:
        differ = tag_writes.cells_differ(tag_columns, sent=sent, now=author.now)
        shape = replace(shape, changed_too=differ)
    if strict:
        customers.reject_strangers(shape.customers)
    _reject_by_stored(reading, sent=sent)
    if fetch("SELECT FROM import_rejects LIMIT 1"):
        run("ANALYZE import_rows")  # far fewer may be left
    merge = Merge(shape, sent=sent)
    merge.link_repeated_keys()
    merge.find_stored()
    outcomes = merge.outcomes()
    by_row = merge.outcome_by_row() if want_rows else {}
    if shape.customers:
        customers.create_stubs(shape.customers, batch=author.batch("customers"))
    merge.keep_last_rows()
    counts = _counts(kind.name, outcomes)
    if merge.may_write:
        _write(merge, counts, reading, sent, tag_columns, author, exclusive)
    return Recorded(counts, by_row)


def _lock(kind: str, tag_columns: Mapping[str, str]) -> None:
    if tag_columns:
        run(f"SELECT pg_advisory_xact_lock({_KIND_LOCKS['tags']})")
    run(f"SELECT pg_advisory_xact_lock({_KIND_LOCKS[kind]})")


def _reject_by_stored(reading: Reading, *, sent: Sent) -> None:
    kind, base_currency = reading.kind, reading.base_currency
    if kind.name == "orders":
        money.settle_order_currencies(kind, base_currency=base_currency, sent=sent)
    elif kind.name in ("order_lines", "refunds"):
        money.find_orders()
        money.check_by_order(kind, base_currency=base_currency)
        if kind.name == "refunds":
            refunds.reject_over_refunds(base_currency=base_currency)


def _counts(kind: str, outcomes: Outcomes) -> Counts:
    (rejected,) = fetch("SELECT count(*) FROM import_rejects")[0]
    inserted, unchanged, updated = outcomes.inserted, outcomes.unchanged, outcomes.updated
    read = inserted + unchanged + updated + rejected
    return Counts(kind, read, inserted, unchanged, updated, rejected)


def _write(
    merge: Merge,
    counts: Counts,
    reading: Reading,
    sent: Sent,
    tag_columns: Mapping[str, str],
    author: Author,
    exclusive: tuple[str, ...],
) -> None:
    kind = reading.kind.name
    batch = author.batch(kind)
    batch.read, batch.rejected = counts.read, counts.rejected
    batch.inserted, batch.updated = counts.inserted, counts.updated
    batch.unchanged = counts.unchanged
    batch.save()
    merge.update(batch=batch.pk)
    if kind == "tags":
        tag_writes.remove_superseded(exclusive, batch=batch)
    merge.insert(batch=batch.pk, also=(customers.ORDINAL,) if kind == "customers" else ())
    if tag_columns:
        tag_writes.write_cells(tag_columns, sent=sent, now=author.now, batch=author.batch("tags"))
