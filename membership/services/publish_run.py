"""Writing a finished run: results for everyone to read, tier changes, and the row that publishes.

All of it in one transaction; COPY goes only into a temporary table, tracked tables are written
set-based, and only where something differs.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pghistory
import pyarrow as pa
import pyarrow.csv as pa_csv
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper
from pyroaring import BitMap

from membership.models import InstantStanding
from membership.services.definitions import living_tiers
from membership.services.instant_tiers import lock_tiers
from membership.services.tier_changes import CHANGES
from segmentation.domain.errors import TierwiseError
from segmentation.engine.bitmaps import change
from segmentation.engine.results import Sizes
from segmentation.models import Run, RunCount, Segment, SegmentResult
from segmentation.services.definitions import lock_definitions
from segmentation.services.held_runs import close_other_held, refuse_other_base
from segmentation.services.marks import mark_again, remove_covered
from segmentation.services.run_errors import CANCELLED, LEASE_LOST
from segmentation.services.run_holds import stopped

_EPOCH = "TIMESTAMPTZ '1970-01-01 00:00:00+00'"
_STAGING = {pa.int64(): "bigint", pa.string(): 'text COLLATE "C"'}
_ROWS_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run found. `tiers` is program -> tier -> customers, every declared tier listed."""

    bitmaps: Mapping[str, BitMap]
    sizes: Sizes
    tiers: Mapping[str, Mapping[str, int]]
    changes: pa.Table
    fields: dict[str, Any]  # columns of the run's own row

    @property
    def rows(self) -> int:
        """Counts and tier changes; segment results are left out, hidden ones would be told."""
        counts = (*self.sizes.tags.values(), *self.sizes.layers.values(), *self.tiers.values())
        return sum(map(len, counts)) + int(self.changes.num_rows)


def publish(
    run: Run,
    result: RunResult,
    *,
    status: str,
    settle_files: Callable[[], None],
    measured: Callable[[], Mapping[str, Any]],
    now: datetime,
) -> None:
    """Store the results and set the run's status; with `published`, change memberships too.

    A run that is published or held ends the one that was held before it.

    `settle_files` puts the run's files in their place; it is called while this process surely
    holds the run, so that a worker that was only slow can't replace what another one published.
    `measured` (columns that say what the run cost) is asked last, so that it counts these writes
    too. Raises `lease_lost` when this process no longer holds the run, `cancelled` when somebody
    stopped it, `definitions_changed` when a tier was removed meanwhile; then nothing is written.
    """
    with transaction.atomic():
        # First of all locks: whoever erases or merges people holds it alone, then takes the run
        # away from its worker.
        lock_definitions(exclusive=False)
        held = (
            Run.objects.select_for_update()
            .filter(pk=run.pk, status=Run.Status.RUNNING, lease_owner=run.lease_owner)
            .first()
        )
        if held is None:
            raise stopped(run, LEASE_LOST)
        if held.cancelled_at is not None:
            raise stopped(run, CANCELLED)
        if status in (Run.Status.PUBLISHED, Run.Status.HELD):
            refuse_removed_tiers(result.changes)
            refuse_other_base(run)
            close_other_held(run, now=now)
        _store_segments(run, result.bitmaps)
        _store_counts(run, result)
        if status == Run.Status.PUBLISHED:
            with pghistory.context(actor=run.requested_by, run=run.pk):
                apply_run_changes(
                    run,
                    result.changes,
                    watermark=result.fields["watermark"],
                    instant_before=result.fields["instant_before"],
                    now=now,
                )
        settle_files()
        for name, value in {**result.fields, **measured()}.items():
            Run._meta.get_field(name)  # a misspelt column must not vanish
            setattr(held, name, value)
        held.status = status
        held.stage = ""
        held.lease_owner = ""
        held.lease_until = None
        held.finished_at = now
        held.save()


def tier_counts(
    memberships: pa.Table, declared: Mapping[str, list[str]]
) -> dict[str, dict[str, int]]:
    """Members per program and tier; every declared tier is listed, 0 included."""
    counts = {program: dict.fromkeys(tiers, 0) for program, tiers in declared.items()}
    grouped = memberships.group_by(["program", "tier"]).aggregate([([], "count_all")])
    for row in grouped.to_pylist():
        counts.setdefault(row["program"], {})[row["tier"]] = row["count_all"]
    return counts


def refuse_removed_tiers(changes: pa.Table) -> None:
    """Nobody gets a tier that a document applied during the run has removed.

    The caller's lock keeps further documents waiting until the run is published. The run starts
    again with the definitions of then.
    """
    living = living_tiers()
    given = changes.group_by(["program", "tier"]).aggregate([]).to_pylist()
    gone = [row for row in given if row["tier"] and (row["program"], row["tier"]) not in living]
    if gone:
        raise TierwiseError(
            "Definitions changed while the run was computed; it starts again.",
            code="definitions_changed",
        )


def _store_segments(run: Run, bitmaps: Mapping[str, BitMap]) -> None:
    before: dict[int, BitMap] = {}
    if run.base_run_id is not None:
        stored = SegmentResult.objects.filter(run_id=run.base_run_id)
        for segment_id, content in stored.values_list("segment_id", "members"):
            before[segment_id] = BitMap.deserialize(bytes(content))
    ids = dict(Segment.objects.values_list("key", "pk"))
    rows = []
    for key, members in bitmaps.items():
        moved = change(members, before.get(ids[key]))
        rows.append(
            SegmentResult(
                run=run,
                segment_id=ids[key],
                size=len(moved.members),
                entered_count=len(moved.entered),
                left_count=len(moved.left),
                members=moved.members.serialize(),
                entered=moved.entered.serialize(),
                left=moved.left.serialize(),
            )
        )
    SegmentResult.objects.bulk_create(rows, batch_size=50)


def _store_counts(run: Run, result: RunResult) -> None:
    kinds = (
        (RunCount.Kind.TAG, result.sizes.tags),
        (RunCount.Kind.LAYER, result.sizes.layers),
        (RunCount.Kind.TIER, result.tiers),
    )
    RunCount.objects.bulk_create(
        [
            RunCount(run=run, kind=kind, key=key, value=value, size=size)
            for kind, found in kinds
            for key, values in found.items()
            for value, size in values.items()
        ],
        batch_size=1000,
    )


def _instant(name: str) -> str:
    return f"{_EPOCH} + c.{name} * INTERVAL '1 microsecond'"


# Between a held run and its release people are erased and merged: they have no tier any more.
_SOURCE = (
    "tier_changes c JOIN membership_program p ON p.key = c.program"
    " JOIN segmentation_customer k ON k.ordinal = c.ordinal AND k.erased_at IS NULL"
    " AND k.merged_into_id IS NULL"
)
_TIMES = ", ".join(_instant(name) for name in ("since", "until", "grace_until"))
_STATEMENTS = (
    "INSERT INTO membership_transition (program_id, customer_id, run_id, instant_batch_id,"
    " version_id, kind, from_tier, to_tier, at, since, until, grace_until, reasons, values)"
    " SELECT p.id, k.id, %(run)s, %(batch)s, v.id, c.kind, COALESCE(c.from_tier, ''),"
    f" COALESCE(c.tier, ''), %(at)s, {_TIMES}, c.reasons::jsonb, c.\"values\"::jsonb"
    f" FROM {_SOURCE} JOIN membership_programversion v ON v.program_id = p.id AND v.number ="
    " COALESCE(c.version, (SELECT max(n.number) FROM membership_programversion n"
    " WHERE n.program_id = p.id))",
    "INSERT INTO membership_membership (program_id, customer_id, tier, rank, since, until,"
    f" grace_until, run_id) SELECT p.id, k.id, c.tier, c.rank, {_TIMES}, %(run)s FROM {_SOURCE}"
    " WHERE c.kind = 'entry'",
    f"UPDATE membership_membership m SET tier = c.tier, rank = c.rank, since = {_instant('since')},"
    f" until = {_instant('until')}, grace_until = {_instant('grace_until')}, run_id = %(run)s"
    f" FROM {_SOURCE} WHERE m.program_id = p.id AND m.customer_id = k.id"
    " AND c.kind NOT IN ('entry', 'exit')"
    " AND (m.tier, m.rank, m.since, m.until, m.grace_until) IS DISTINCT FROM"
    f" (c.tier, c.rank::smallint, {_TIMES})",
    f"DELETE FROM membership_membership m USING {_SOURCE}"
    " WHERE m.program_id = p.id AND m.customer_id = k.id AND c.kind = 'exit'",
)


def apply_run_changes(
    run: Run, changes: pa.Table, *, watermark: int, instant_before: int | None, now: datetime
) -> None:
    """Change memberships as the run decided, in the caller's transaction.

    Where the instant path has changed a membership after the batch `instant_before`, the last one
    the run knew of, that decision stays, and the customer is looked at again at once.
    """
    lock_tiers()
    with staged(changes) as cursor:
        cursor.execute(
            "DELETE FROM tier_changes c USING segmentation_customer k, membership_transition t,"
            " membership_program p WHERE k.ordinal = c.ordinal AND t.customer_id = k.id"
            " AND t.program_id = p.id AND p.key = c.program AND t.instant_batch_id > %s"
            " RETURNING k.id",
            [instant_before or 0],
        )
        overtaken = sorted({customer for (customer,) in cursor.fetchall()})
        if overtaken:
            mark_again(overtaken, now=run.as_of, real=now)
        write_staged(cursor, run_id=run.pk, at=run.as_of, batch_id=None)
    remove_covered(watermark=watermark, as_of=run.as_of)
    InstantStanding.objects.filter(as_of__lte=run.as_of).delete()


@contextmanager
def staged(changes: pa.Table) -> Iterator[CursorWrapper]:
    """The changes as the temporary table `tier_changes`, until the transaction ends."""
    columns = ", ".join(f'"{field.name}" {_STAGING[field.type]}' for field in CHANGES)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TEMP TABLE tier_changes ({columns}) ON COMMIT DROP")
        if changes.num_rows:
            with cursor.copy("COPY tier_changes FROM STDIN (FORMAT csv, HEADER true)") as copy:
                buffer = io.BytesIO()
                pa_csv.write_csv(changes, buffer, pa_csv.WriteOptions(batch_size=_ROWS_AT_ONCE))
                copy.write(buffer.getbuffer())
            cursor.execute("ANALYZE tier_changes")
        yield cursor


def write_staged(cursor: CursorWrapper, *, run_id: int, at: datetime, batch_id: int | None) -> None:
    """Transitions and memberships of what is staged; who holds the lock of tiers calls it."""
    for statement in _STATEMENTS:
        cursor.execute(statement, {"run": run_id, "at": at, "batch": batch_id})
