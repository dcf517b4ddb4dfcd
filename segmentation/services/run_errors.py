"""Why a run failed: a stable code, a sentence that says the remedy, and whether it will pass.

A sentence here names no segment and no customer, so that everybody who may see runs may read it.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

import duckdb
from django.db import DataError, NotSupportedError, ProgrammingError
from django.db import Error as AnyDatabaseError
from django.utils.translation import gettext_lazy
from django.utils.translation import override as in_language

from segmentation.domain.errors import TierwiseError
from segmentation.models import Run

CANCELLED = "cancelled"
SUPERSEDED = "superseded"
WORKER_DIED = "worker_died"
LEASE_LOST = "lease_lost"
OUT_OF_MEMORY = "out_of_memory"
DISK_FULL = "disk_full"
DATABASE = "database"
FILES = "files"
DEFINITIONS_CHANGED = "definitions_changed"
REJECTED = "rejected"
OVERTAKEN = "overtaken"

SENTENCES = {
    CANCELLED: gettext_lazy("Stopped by %(person)s. Nothing was published."),
    SUPERSEDED: gettext_lazy(
        "The next scheduled run was due before this one could be done; that one takes its place."
    ),
    WORKER_DIED: gettext_lazy("The worker died %(times)s times during this run."),
    OUT_OF_MEMORY: gettext_lazy(
        "The computation needed more memory than there is. Give it more with ENGINE_MEMORY, or "
        "make room on the disk of VAR_DIR, where it puts what does not fit."
    ),
    DISK_FULL: gettext_lazy(
        "A disk is full: that of VAR_DIR or that of the database. Make room; nothing was published."
    ),
    DATABASE: gettext_lazy("The database could not be reached, or stopped the work."),
    FILES: gettext_lazy("A file below VAR_DIR could not be read or written."),
    DEFINITIONS_CHANGED: gettext_lazy("Definitions changed while the run was computed."),
    REJECTED: gettext_lazy("It was held, and %(person)s rejected it. Nothing was published."),
    OVERTAKEN: gettext_lazy("It was held, and a newer run took its place. Nothing was published."),
}
_LASTING = (ProgrammingError, DataError, NotSupportedError)


@dataclass(frozen=True, slots=True)
class Failure:
    """`detail` is for the log: what the system said. `is_passing`: another attempt may do."""

    code: str
    is_passing: bool
    detail: str


def failure_of(error: BaseException) -> Failure:
    """What an error that ended an attempt means."""
    detail = f"{type(error).__name__}: {error}"
    if isinstance(error, TierwiseError):
        return Failure(error.code, error.code == DEFINITIONS_CHANGED, error.message)
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException):
        return Failure(OUT_OF_MEMORY, is_passing=False, detail=detail)
    if _is_disk_full(error):
        return Failure(DISK_FULL, is_passing=True, detail=detail)
    if isinstance(error, AnyDatabaseError):
        # A statement the database can't understand stays so; a broken connection does not.
        return Failure(DATABASE, not isinstance(error, _LASTING), detail)
    if isinstance(error, OSError | duckdb.IOException):
        return Failure(FILES, is_passing=True, detail=detail)
    return Failure("", is_passing=False, detail=detail)


def _is_disk_full(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    if isinstance(error, duckdb.Error):
        return "No space left on device" in str(error)
    return getattr(error.__cause__, "sqlstate", None) == "53100"


def stored_error(run: Run, failure: Failure) -> str:
    """The text a run keeps: the sentence in English, or what the system said."""
    if failure.code not in SENTENCES:
        return failure.detail
    with in_language("en"):
        return _sentence(run, failure.code)


def error_words(run: Run) -> str:
    """A run's error in the reader's language where it is one we know; only one that is not may
    name something hidden."""
    return _sentence(run, run.error_code) if run.error_code in SENTENCES else run.error


def _sentence(run: Run, code: str) -> str:
    return str(SENTENCES[code]) % {
        "person": run.cancelled_by or run.decided_by,
        "times": run.attempts,
    }
