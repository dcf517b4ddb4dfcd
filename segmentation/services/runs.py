"""Runs as work: asked for, claimed with a lease, kept alive, finished or failed visibly."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import Error as AnyDatabaseError
from django.db import IntegrityError, connection, transaction
from django.db.models import Q

from segmentation.domain.errors import TierwiseError
from segmentation.models import Run

from .leases import lease_owner, owner_is_gone

LEASE = timedelta(seconds=30)
HEARTBEAT_SECONDS = 5.0
MOST_ATTEMPTS = 5
_BACK_OFF = timedelta(seconds=5)

logger = logging.getLogger(__name__)


def request_run(*, as_of: datetime, actor: str, now: datetime, is_dry_run: bool = False) -> Run:
    """Queue a run. Nothing else happens until a worker (or a waiting command) claims it."""
    return Run.objects.create(
        as_of=as_of, requested_by=actor, requested_at=now, is_dry_run=is_dry_run
    )


def run_in_progress(*, now: datetime) -> bool:
    """Whether some process is working on a run right now."""
    running = Run.objects.filter(status=Run.Status.RUNNING, lease_until__gt=now)
    return any(not owner_is_gone(run.lease_owner) for run in running)


def free_dead_runs(*, now: datetime) -> int:
    """Queue again what a dead worker held; after too many attempts it fails, visibly."""
    freed = 0
    for run in Run.objects.filter(status=Run.Status.RUNNING):
        expired = run.lease_until is None or run.lease_until <= now
        if not expired and not owner_is_gone(run.lease_owner):
            continue
        held = Run.objects.filter(pk=run.pk, status=Run.Status.RUNNING, lease_owner=run.lease_owner)
        if run.attempts >= MOST_ATTEMPTS:
            freed += held.update(
                status=Run.Status.FAILED,
                error=f"The worker died {run.attempts} times during this run.",
                finished_at=now,
                lease_owner="",
                lease_until=None,
            )
        else:
            freed += held.update(
                status=Run.Status.QUEUED,
                stage="",
                lease_owner="",
                lease_until=None,
                log=[*run.log, _line(now, f"attempt {run.attempts}: worker died, queued again")],
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
            )
    except IntegrityError:
        return None  # another run is in progress
    return Run.objects.get(pk=candidate.pk) if claimed else None


@contextmanager
def kept_alive(run: Run, *, clock: Callable[[], datetime]) -> Iterator[None]:
    """Extend the lease from a thread of its own, so that a long stage never looks dead."""
    done = threading.Event()

    def beat() -> None:
        try:
            while not done.wait(HEARTBEAT_SECONDS):
                try:
                    Run.objects.filter(pk=run.pk, lease_owner=run.lease_owner).update(
                        lease_until=clock() + LEASE
                    )
                except AnyDatabaseError:  # an InterfaceError is no DatabaseError
                    logger.warning("run %s: heartbeat failed", run.pk, exc_info=True)
                    connection.close()
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name=f"lease-{run.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def note_stage(run: Run, stage: str) -> None:
    """Show what the run is doing."""
    Run.objects.filter(pk=run.pk, lease_owner=run.lease_owner).update(stage=stage)


def fail_run(run: Run, error: Exception, *, now: datetime) -> None:
    """Record a failed attempt: queued again with back-off when the reason will pass
    (the database, the disk, definitions changed meanwhile), else failed with what went wrong."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, TierwiseError):
        message = error.message
    passing = isinstance(error, AnyDatabaseError | OSError) or (
        isinstance(error, TierwiseError) and error.code == "definitions_changed"
    )
    again = passing and run.attempts < MOST_ATTEMPTS
    Run.objects.filter(pk=run.pk, lease_owner=run.lease_owner).update(
        status=Run.Status.QUEUED if again else Run.Status.FAILED,
        not_before=now + _BACK_OFF * 2 ** (run.attempts - 1) if again else None,
        finished_at=None if again else now,
        error=message,
        stage="",
        lease_owner="",
        lease_until=None,
        log=[*run.log, _line(now, f"attempt {run.attempts}: {message}")],
    )


def _line(now: datetime, message: str) -> dict[str, str]:
    return {"at": now.isoformat(), "message": message}
