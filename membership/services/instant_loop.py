"""The standing loop of the instant path: as long as it runs, marks wait less than a second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime

from django.db import connection

from membership.services.instant import MOST_CUSTOMERS, Done, do_batch

# A mark waits half of this on average before anybody looks, and a batch besides.
LOOK_EVERY = 0.2
_LONGEST_PAUSE = 60.0

Clock = Callable[[], datetime]
logger = logging.getLogger(__name__)


def serve(stop: threading.Event, *, clock: Clock, real: Clock) -> None:
    """Do batch after batch until `stop` is set; `clock` is the project's.

    No error ends it: the marks stay, and it looks again after a pause that grows to a minute. Two
    loops at the same time do no harm: one waits while the other decides.
    """
    failures = 0
    while not stop.is_set():
        try:
            done = do_batch(clock=clock, real=real)
        except Exception:
            failures += 1
            pause = min(LOOK_EVERY * 2**failures, _LONGEST_PAUSE)
            logger.exception("instant path: trying again in %.1f seconds", pause)
            connection.close()  # a broken one is never used again
        else:
            failures = 0
            # A small batch costs as much as a larger one: the pause lets marks gather, and leaves
            # the processor to the web server whose orders they come from.
            is_full = done is not None and done.customers >= MOST_CUSTOMERS
            pause = 0.0 if is_full else LOOK_EVERY
        stop.wait(pause)


def drain(*, clock: Clock, real: Clock) -> Done:
    """Do what is due now and return; errors of the database are raised."""
    total = Done()
    while (done := do_batch(clock=clock, real=real)) is not None:
        total = Done(
            total.customers + done.customers,
            total.changes + done.changes,
            total.failed + done.failed,
        )
    return total
