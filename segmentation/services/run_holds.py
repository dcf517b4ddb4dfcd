"""A run while a process works on it: kept alive, watched for a stop, its spill measured."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.db import Error as AnyDatabaseError
from django.db import connection
from django.utils.translation import gettext

from segmentation.domain.errors import TierwiseError
from segmentation.engine import backend
from segmentation.models import Run

from .run_errors import CANCELLED, LEASE_LOST

LEASE = timedelta(seconds=30)
HEARTBEAT_SECONDS = 5.0
LOOK_SECONDS = 1.0

logger = logging.getLogger(__name__)


class RunHold:
    """What the work of a run asks between its stages.

    The thread that keeps the lease also looks once a second whether somebody stopped the run or
    took it over; then it interrupts what DuckDB is doing, and the next question raises.
    """

    def __init__(self, run: Run, *, clock: Callable[[], datetime]) -> None:
        self.run = run
        self.spilled = 0
        self._clock = clock
        self._worker = threading.get_ident()
        self._end = threading.Event()
        self._why: str | None = None

    def enter(self, stage: str) -> None:
        """Show what the run is doing. Raises like `check`."""
        held = Run.objects.filter(pk=self.run.pk, lease_owner=self.run.lease_owner)
        held.update(stage=stage)
        self._look()
        self.check()

    def check(self) -> None:
        """Raise TierwiseError `cancelled` or `lease_lost` when the work must end."""
        if self._why is not None:
            raise stopped(self.run, self._why)

    def explains(self, error: BaseException) -> BaseException:
        """The reason why the work was interrupted, or the error itself."""
        return error if self._why is None else stopped(self.run, self._why)

    def _look(self) -> None:
        found = Run.objects.filter(pk=self.run.pk).values_list("lease_owner", "cancelled_at")
        for owner, cancelled_at in found:
            if owner != self.run.lease_owner:
                self._why = LEASE_LOST
            elif cancelled_at is not None:
                self._why = CANCELLED

    def _beat(self) -> None:
        since = 0.0
        try:
            while not self._end.wait(min(LOOK_SECONDS, HEARTBEAT_SECONDS)):
                since += min(LOOK_SECONDS, HEARTBEAT_SECONDS)
                try:
                    if since >= HEARTBEAT_SECONDS:
                        since = 0.0
                        Run.objects.filter(pk=self.run.pk, lease_owner=self.run.lease_owner).update(
                            lease_until=self._clock() + LEASE
                        )
                    self._look()
                except AnyDatabaseError:  # an InterfaceError is no DatabaseError
                    logger.warning("run %s: heartbeat failed", self.run.pk, exc_info=True)
                    connection.close()
                self.spilled = max(self.spilled, backend.spilled(self._worker))
                if self._why is not None:
                    backend.interrupt(self._worker)  # again each time: one may come too early
        finally:
            connection.close()


@contextmanager
def held(run: Run, *, clock: Callable[[], datetime]) -> Iterator[RunHold]:
    """Extend the lease from a thread of its own, so that a long stage never looks dead."""
    hold = RunHold(run, clock=clock)
    thread = threading.Thread(target=hold._beat, name=f"lease-{run.pk}", daemon=True)
    thread.start()
    try:
        yield hold
    finally:
        hold._end.set()
        thread.join()


def stopped(run: Run, why: str) -> TierwiseError:
    """The error that ends the work of a run that was stopped or taken over."""
    if why == CANCELLED:
        return TierwiseError(gettext("The run was stopped."), code=CANCELLED)
    return TierwiseError(f"Run {run.pk} was taken over by another worker.", code=LEASE_LOST)
