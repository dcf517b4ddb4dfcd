"""One act of recording: staged rows become facts in one transaction, or nothing does.

Locks, in this order: that of the definitions (shared, for tags), then those of the kinds as
`_KIND_LOCKS` lists them: that of orders before lines and refunds (which share it: they use their
order's rate), that of tags before customers, that of customers last of all. They are taken when all
rows are staged, so a long file keeps nobody waiting while it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from segmentation.domain.errors import TierwiseError
from segmentation.domain.facts import FACT_KINDS
from segmentation.models import FactBatch
from segmentation.services.definitions import lock_definitions
from segmentation.services.marks import mark_batch

from . import customers, money, reconversion, refunds, tag_writes
from .aliases import redirect
from .groups import imported_groups
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
    if tag_columns or kind.name == "tags":
        _refuse_changed_groups(reading)
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
    redirects = redirect(kind.name, shape)
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
    has_new_rates = kind.name == "orders" and merge.has_changes and _lock_changed_rates(reading)
    if shape.customers:
        customers.create_stubs(shape.customers, batch=author.batch("customers"))
    merge.keep_last_rows()
    counts = _counts(kind.name, outcomes)
    if merge.may_write:
        _write(merge, counts, reading, sent, tag_columns, author, exclusive)
    redirects.keep()
    if has_new_rates:
        for other in reconversion.KINDS:
            batch = author.batch(other)
            reconversion.reconvert(other, base_currency=reading.base_currency, batch=batch)
    return Recorded(counts, by_row)


def _lock(kind: str, tag_columns: Mapping[str, str]) -> None:
    if kind in reconversion.KINDS:
        run(f"SELECT pg_advisory_xact_lock_shared({_KIND_LOCKS['orders']})")
    if tag_columns or kind == "tags":
        lock_tags()
    run(f"SELECT pg_advisory_xact_lock({_KIND_LOCKS[kind]})")


def lock_every_kind() -> None:
    """From here to the end of the transaction nothing is recorded: for an erasure, which must not
    miss a fact that is being written. In an order that no import can cross: customers last."""
    for name in sorted(_KIND_LOCKS, key=lambda name: (name == "customers", _KIND_LOCKS[name])):
        run(f"SELECT pg_advisory_xact_lock({_KIND_LOCKS[name]})")


def lock_tags() -> None:
    """From here to the end of the transaction nobody else writes tags or changes definitions. A
    call that takes other locks first must come here before it does."""
    lock_definitions(exclusive=False)
    run(f"SELECT pg_advisory_xact_lock({_KIND_LOCKS['tags']})")


def _refuse_changed_groups(reading: Reading) -> None:
    """The rows were read by these groups: with others their values might not be declared."""
    if imported_groups() != reading.groups:
        raise TierwiseError(
            "The tag groups were changed while the rows were read, so nothing was recorded: "
            "send them again.",
            code="definitions_changed",
        )


def _lock_changed_rates(reading: Reading) -> bool:
    """Does any order get another rate? Then nobody else writes lines or refunds from here on."""
    if not reconversion.find_changed_rates(base_currency=reading.base_currency):
        return False
    for kind in reconversion.KINDS:
        run(f"SELECT pg_advisory_xact_lock({_KIND_LOCKS[kind]})")
    return True


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
    written = [batch]
    if tag_columns:
        tags = author.batch("tags")
        tag_writes.write_cells(tag_columns, sent=sent, now=author.now, batch=tags)
        written.append(tags)
    if author.source == FactBatch.Source.API:
        # Whoever sends a file waits for the next run; what comes one by one counts at once.
        for each in written:
            if each.pk is not None:
                mark_batch(each, now=author.now)
