"""Runs as work: asked for, claimed with a lease, finished, tried again or failed visibly."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, OperationalError, connection, transaction
from django.db.models import Q, QuerySet

from segmentation.models import Run

from .leases import lease_owner, owner_is_gone
from .run_errors import CANCELLED, SUPERSEDED, WORKER_DIED, Failure, failure_of, stored_error
from .run_holds import LEASE

# A run that somebody asked for; a scheduled one is tried until the next one is due.
MOST_ATTEMPTS = 5
LONGEST_PAUSE = timedelta(minutes=15)
_BACK_OFF = timedelta(seconds=5)
_ASKING = 7_305_003  # advisory lock: who asks for a run sees what was asked for before

logger = logging.getLogger(__name__)


def request_run(
    *,
    as_of: datetime,
    actor: str,
    now: datetime,
    is_dry_run: bool = False,
    is_scheduled: bool = False,
) -> Run:
    """Queue a run. Nothing else happens until a worker (or a waiting command) claims it.

    While one of the same as-of waits, that one is the answer, and a pause it makes after a failed
    attempt ends: it will see every fact recorded until it starts (S17). A scheduled run takes the
    place of an older scheduled one that still waits: after a long outage one run is due, not many.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ASKING])
        waiting = Run.objects.filter(status=Run.Status.QUEUED, is_dry_run=is_dry_run)
        same = waiting.filter(as_of=as_of).order_by("pk").first()
        if same is not None:
            same.not_before = None
            same.save(update_fields=["not_before"])
            return same
        run = Run.objects.create(
            as_of=as_of,
            requested_by=actor,
            requested_at=now,
            is_dry_run=is_dry_run,
            is_scheduled=is_scheduled,
        )
        if is_scheduled:
            for older in waiting.filter(is_scheduled=True, pk__lt=run.pk):
                _end(
                    older,
                    Failure(SUPERSEDED, is_passing=False, detail=f"run {run.pk} takes its place"),
                    now=now,
                )
    return run


def run_in_progress(*, now: datetime) -> bool:
    """Whether some process is working on a run right now."""
    running = Run.objects.filter(status=Run.Status.RUNNING, lease_until__gt=now)
    return any(not owner_is_gone(run.lease_owner) for run in running)


def free_dead_runs(*, now: datetime) -> int:
    """Queue again what a dead worker held, or fail it, visibly; returns how many."""
    freed = 0
    for run in Run.objects.filter(status=Run.Status.RUNNING):
        expired = run.lease_until is None or run.lease_until <= now
        if not expired and not owner_is_gone(run.lease_owner):
            continue
        if run.cancelled_at is not None:
            freed += _end(
                run,
                Failure(CANCELLED, is_passing=False, detail="stopped; the worker had died"),
                now=now,
            )
        elif _may_try_again(run):
            # The first death costs no wait; a run that kills its worker again and again does.
            pause = _pause(run.attempts - 1) if run.attempts > 1 else None
            line = f"attempt {run.attempts}: worker died, queued again"
            freed += _queue_again(run, line, pause=pause, now=now)
        else:
            freed += _end(
                run, Failure(WORKER_DIED, is_passing=False, detail="worker died"), now=now
            )
    return freed


def claim_next_run(*, now: datetime, up_to: int | None = None) -> Run | None:
    """The oldest queued run, now held by this process; None when there is none to be had.

    Only one run is ever in progress (a database constraint). `up_to` leaves later ones alone.
    """
    waiting = Run.objects.filter(status=Run.Status.QUEUED).filter(
        Q(not_before=None) | Q(not_before__lte=now)
    )
    if up_to is not None:
        waiting = waiting.filter(pk__lte=up_to)
    candidate = waiting.order_by("pk").first()
    if candidate is None:
        return None
    owner = lease_owner()
    try:
        with transaction.atomic():
            claimed = Run.objects.filter(pk=candidate.pk, status=Run.Status.QUEUED).update(
                status=Run.Status.RUNNING,
                lease_owner=owner,
                lease_until=now + LEASE,
                attempts=candidate.attempts + 1,
                started_at=now,
                error="",
                error_code="",
            )
    except IntegrityError:
        return None  # another run is in progress
    return Run.objects.get(pk=candidate.pk) if claimed else None


def fail_run(run: Run, error: BaseException, *, now: datetime) -> None:
    """Record a failed attempt. When the reason will pass (the database, the disk, definitions
    changed meanwhile) it is queued again with a growing pause of at most 15 minutes, else it has
    failed, with what went wrong. A run that is no longer this process's stays as it is."""
    failure = failure_of(error)
    held = Run.objects.filter(pk=run.pk, lease_owner=run.lease_owner).first()
    if held is None:
        return
    if held.cancelled_at is not None:
        failure = Failure(CANCELLED, is_passing=False, detail=failure.detail)
    if failure.is_passing and _may_try_again(held):
        line = f"attempt {held.attempts}: {failure.detail}"
        changes = {"error": stored_error(held, failure), "error_code": failure.code}
        _queue_again(held, line, pause=_pause(held.attempts), now=now, **changes)
    else:
        _end(held, failure, now=now)


def _may_try_again(run: Run) -> bool:
    if not run.is_scheduled:
        return run.attempts < MOST_ATTEMPTS
    return not Run.objects.filter(is_scheduled=True, pk__gt=run.pk).exists()


def _pause(failures: int) -> timedelta:
    pause: timedelta = _BACK_OFF * 2 ** min(failures - 1, 20)
    return min(pause, LONGEST_PAUSE)


def _as_it_was(run: Run) -> QuerySet[Run]:
    return Run.objects.filter(pk=run.pk, status=run.status, lease_owner=run.lease_owner)


def _queue_again(
    run: Run, line: str, *, pause: timedelta | None, now: datetime, **changes: Any
) -> int:
    return _as_it_was(run).update(
        **changes,
        status=Run.Status.QUEUED,
        not_before=None if pause is None else now + pause,
        stage="",
        lease_owner="",
        lease_until=None,
        log=[*run.log, log_line(now, line)],
    )


def _end(run: Run, failure: Failure, *, now: datetime) -> int:
    """Fail a run for good; 1, or 0 when it changed meanwhile."""
    attempt = f"attempt {run.attempts}: " if run.attempts else ""
    return _as_it_was(run).update(
        status=Run.Status.FAILED,
        error=stored_error(run, failure),
        error_code=failure.code[:32],
        finished_at=now,
        not_before=None,
        stage="",
        lease_owner="",
        lease_until=None,
        log=[*run.log, log_line(now, f"{attempt}{failure.detail}")],
    )


def cancel_run(run_id: int, *, actor: str, now: datetime) -> bool:
    """Stop a run: at once while it waits, else within moments, between two of its statements. A
    stopped run publishes nothing. False when it has ended, or is already being published.

    Who may is the caller's question."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Publishing holds the row to its end; a page must not wait for that.
            cursor.execute("SET LOCAL lock_timeout = '2s'")
        try:
            with transaction.atomic():
                run = Run.objects.select_for_update().filter(pk=run_id).first()
        except OperationalError:
            return False
        if run is None or run.status not in (Run.Status.QUEUED, Run.Status.RUNNING):
            return False
        if run.cancelled_at is None:
            run.cancelled_by, run.cancelled_at = actor[:150], now
            run.save(update_fields=["cancelled_by", "cancelled_at"])
            if run.status == Run.Status.QUEUED:
                _end(
                    run, Failure(CANCELLED, is_passing=False, detail=f"stopped by {actor}"), now=now
                )
    return True


def log_line(now: datetime, message: str) -> dict[str, str]:
    """A line of a run's log."""
    return {"at": now.isoformat(), "message": message}
