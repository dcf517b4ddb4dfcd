"""Long work as jobs: asked for once, claimed with a lease, cancellable, finished visibly."""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from celery import current_app
from django.conf import settings
from django.contrib.auth.models import User
from django.db import DatabaseError, connection, transaction
from django.utils import translation
from django.utils.translation import gettext as _
from kombu.exceptions import KombuError

from segmentation.domain.errors import TierwiseError
from segmentation.models import Job

from .job_kinds import kind_of
from .leases import lease_owner, owner_is_gone

Clock = Callable[[], datetime]
LEASE = timedelta(seconds=30)
HEARTBEAT_SECONDS = 5.0
MOST_ATTEMPTS = 3
KEEP_FILES = timedelta(days=30)
INPUT = "input"
_PROGRESS_EVERY = timedelta(milliseconds=500)
_CHUNK = 1 << 20

logger = logging.getLogger(__name__)


class JobCancelled(Exception):
    """Somebody cancelled the job; its work stops at the next progress note."""


def job_folder(job_id: int) -> Path:
    """Where the job's files lie; only this user can enter."""
    return Path(settings.VAR_DIR) / "jobs" / str(job_id)


def request_job(
    kind: str,
    *,
    parameters: Mapping[str, Any],
    user: User | None,
    actor: str,
    now: datetime,
    subject: str = "",
    is_hidden: bool = False,
    key: str | None = None,
    upload: BinaryIO | None = None,
) -> Job:
    """Queue one piece of work and wake a worker. `now` is the real clock's.

    The same `key` again (a double click, a form sent twice) gives the job of the first time back
    and queues nothing. `upload` is copied beside the job before it can be claimed.
    """
    if kind_of(kind) is None:
        raise LookupError(f"no kind of job is called {kind}")
    with transaction.atomic():
        values: dict[str, Any] = {
            "kind": kind,
            "subject": subject[:300],
            "parameters": dict(parameters),
            "requested_by": user,
            "actor": actor,
            "language": translation.get_language() or "en",
            "is_hidden": is_hidden,
            "requested_at": now,
        }
        if key is None:
            job, is_new = Job.objects.create(**values), True
        else:
            job, is_new = Job.objects.get_or_create(idempotency_key=key, defaults=values)
        if is_new and upload is not None:
            _keep_upload(job, upload)
        if is_new:
            transaction.on_commit(_wake_worker)
    return job


def new_key() -> str:
    """A key for one form: whoever sends the form twice asks for one job."""
    return secrets.token_urlsafe(18)


def cancel_job(job: Job, *, actor: str, now: datetime) -> bool:
    """Cancel a job that has not ended: at once while it waits, else at its next progress note.

    False when it had ended already.
    """
    with transaction.atomic():
        held = Job.objects.select_for_update().get(pk=job.pk)
        if held.status == Job.Status.QUEUED:
            held.status, held.finished_at = Job.Status.CANCELLED, now
        elif held.status != Job.Status.RUNNING:
            return False
        held.cancel_requested_at = held.cancel_requested_at or now
        held.log = [*held.log, _line(now, _("Cancelled by %(actor)s.") % {"actor": actor})]
        held.save(update_fields=["status", "finished_at", "cancel_requested_at", "log"])
    return True


class JobWork:
    """What the work of a job gets: its parameters, its folder, and how to tell how far it is."""

    def __init__(self, job: Job, *, clock: Clock) -> None:
        self.job = job
        self.parameters: dict[str, Any] = job.parameters
        self.clock = clock
        self.folder = job_folder(job.pk)
        self._noted_at: datetime | None = None

    @property
    def user(self) -> User | None:
        """The person who asked, with the rights of now."""
        found = self.job.requested_by_id
        return None if found is None else User.objects.get(pk=found)

    @property
    def input(self) -> Path:
        """The uploaded file."""
        return self.folder / INPUT

    def result(self, name: str) -> Path:
        """Where to write the result file; it is offered for download under `name`."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._update(result_file=name)
        return self.folder / "result"

    def progress(self, done: int, *, total: int | None = None, stage: str | None = None) -> None:
        """Say how far the work is; raises JobCancelled when somebody cancelled it."""
        now = self.clock()
        changes: dict[str, Any] = {"done": done}
        if total is not None:
            changes["total"] = total
        if stage is not None and stage != self.job.stage:
            self.job.stage = changes["stage"] = stage
        elif self._noted_at is not None and now - self._noted_at < _PROGRESS_EVERY:
            return
        self._noted_at = now
        self._update(**changes)
        cancelled = Job.objects.filter(pk=self.job.pk).values_list("cancel_requested_at", flat=True)
        if cancelled.get() is not None:
            raise JobCancelled

    def note(self, message: str) -> None:
        """Add a line to the job's log."""
        self.job.log = [*self.job.log, _line(self.clock(), message)]
        self._update(log=self.job.log)

    def _update(self, **changes: Any) -> None:
        held = Job.objects.filter(pk=self.job.pk, lease_owner=self.job.lease_owner)
        if not held.update(**changes):
            raise JobCancelled  # another worker took it over


def execute_next_job(*, clock: Clock) -> Job | None:
    """Claim the oldest waiting job and do it; None when there was none. Its failure is recorded."""
    free_dead_jobs(now=clock())
    job = _claim(now=clock())
    if job is None:
        return None
    with _kept_alive(job, clock=clock), translation.override(job.language):
        _do(job, clock=clock)
    job.refresh_from_db()
    return job


def execute_job(job: Job, *, clock: Clock) -> Job:
    """Do jobs until this one has ended: for commands and tests without a worker."""
    while job.status in (Job.Status.QUEUED, Job.Status.RUNNING):
        found = execute_next_job(clock=clock)
        job.refresh_from_db()
        if found is None:
            break
    return job


def free_dead_jobs(*, now: datetime) -> int:
    """Queue again what a dead worker held; after too many attempts it fails, visibly."""
    freed = 0
    for job in Job.objects.filter(status=Job.Status.RUNNING):
        expired = job.lease_until is None or job.lease_until <= now
        if not expired and not owner_is_gone(job.lease_owner):
            continue
        held = Job.objects.filter(pk=job.pk, status=Job.Status.RUNNING, lease_owner=job.lease_owner)
        line = _line(now, f"attempt {job.attempts}: worker died")
        if job.cancel_requested_at is not None:
            freed += held.update(status=Job.Status.CANCELLED, finished_at=now, lease_owner="")
        elif job.attempts >= MOST_ATTEMPTS:
            error = TierwiseError(
                f"The worker died {job.attempts} times during this job.", code="worker_died"
            )
            freed += held.update(
                status=Job.Status.FAILED,
                error=error.as_document(),
                finished_at=now,
                lease_owner="",
                log=[*job.log, line],
            )
        else:
            freed += held.update(
                status=Job.Status.QUEUED, stage="", lease_owner="", log=[*job.log, line]
            )
    return freed


def remove_old_files(*, now: datetime) -> int:
    """Remove the files of jobs that ended more than KEEP_FILES ago; returns of how many."""
    removed = 0
    folder = job_folder(0).parent
    for found in folder.iterdir() if folder.is_dir() else ():
        job = Job.objects.filter(pk=found.name).first() if found.name.isdigit() else None
        if job is None or (job.finished_at is not None and job.finished_at < now - KEEP_FILES):
            shutil.rmtree(found, ignore_errors=True)
            removed += 1
    return removed


def _claim(*, now: datetime) -> Job | None:
    owner = lease_owner()
    with transaction.atomic():
        waiting = Job.objects.select_for_update(skip_locked=True).filter(status=Job.Status.QUEUED)
        job = waiting.order_by("pk").first()
        if job is None:
            return None
        job.status, job.lease_owner, job.lease_until = Job.Status.RUNNING, owner, now + LEASE
        job.attempts, job.started_at, job.done, job.total = job.attempts + 1, now, 0, None
        job.save(
            update_fields=[
                "status", "lease_owner", "lease_until", "attempts", "started_at", "done", "total",
            ]
        )  # fmt: skip
    return job


def _do(job: Job, *, clock: Clock) -> None:
    work = JobWork(job, clock=clock)
    changes: dict[str, Any] = {"status": Job.Status.DONE}
    kind = kind_of(job.kind)
    try:
        if kind is None:
            raise TierwiseError(
                _("This kind of job belongs to another release."), code="not_available"
            )
        changes["result"] = dict(kind.work(work))
    except JobCancelled:
        changes = {"status": Job.Status.CANCELLED, "result_file": ""}
    except TierwiseError as error:
        changes = {"status": Job.Status.FAILED, "error": error.as_document()}
    except Exception:
        logger.exception("job %s (%s) failed", job.pk, job.kind)
        message = _("Something went wrong inside; the log of the worker says what.")
        error_document = TierwiseError(message, code="internal").as_document()
        changes = {"status": Job.Status.FAILED, "error": error_document}
    Job.objects.filter(pk=job.pk, lease_owner=job.lease_owner).update(
        **changes, finished_at=clock(), lease_owner="", lease_until=None, stage=""
    )


@contextmanager
def _kept_alive(job: Job, *, clock: Clock) -> Iterator[None]:
    done = threading.Event()

    def beat() -> None:
        try:
            while not done.wait(HEARTBEAT_SECONDS):
                try:
                    Job.objects.filter(pk=job.pk, lease_owner=job.lease_owner).update(
                        lease_until=clock() + LEASE
                    )
                except DatabaseError:
                    logger.warning("job %s: heartbeat failed", job.pk, exc_info=True)
                    connection.close()
        finally:
            connection.close()

    thread = threading.Thread(target=beat, name=f"job-{job.pk}", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _keep_upload(job: Job, upload: BinaryIO) -> None:
    folder = job_folder(job.pk)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(folder / INPUT, "wb") as file:
        while chunk := upload.read(_CHUNK):
            file.write(chunk)


def _wake_worker() -> None:
    try:
        current_app.send_task("segmentation.tasks.execute_due_jobs", retry=False)
    except (KombuError, OSError):
        logger.warning("no broker to wake a worker; the job waits for the next tick")


def _line(now: datetime, message: str) -> dict[str, str]:
    return {"at": now.isoformat(), "message": message}
