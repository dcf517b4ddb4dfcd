"""Does the next queued run in a child, again and again, and kills the child where it is told.

    python -m tests.faults.forked_runs        reads lines, answers each with a line

    stage NAME HOURS     the child kills itself as it enters the stage
    after SECONDS HOURS  the child is killed after so long, or has ended before
    -  HOURS             the child is left alone

Answers `killed` or `ended SECONDS`. HOURS are added to the child's clock, so that no pause after a
failed attempt is waited for. One process that has imported everything forks them all: a child
costs milliseconds.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import datetime, timedelta
from functools import partial

import django

django.setup()

from django.db import connections  # noqa: E402

from config.clock import real_now  # noqa: E402
from membership.services.recompute import execute_next_run  # noqa: E402
from segmentation.services.run_holds import RunHold  # noqa: E402


def child(stage: str, hours: float) -> None:
    enter = RunHold.enter

    def dying(hold: RunHold, name: str) -> None:
        enter(hold, name)
        if name == stage:
            os.kill(os.getpid(), signal.SIGKILL)

    RunHold.enter = dying  # type: ignore[method-assign]
    # The first look finds that the one before has died and may make a pause of it.
    for ahead in (timedelta(hours=hours), timedelta(hours=hours, minutes=30)):
        done = execute_next_run(clock=partial(_later, ahead))
        if done is not None:
            break
    os._exit(0 if done is not None else 1)


def _later(ahead: timedelta) -> datetime:
    return real_now() + ahead


def one(line: str) -> str:
    how, *values = line.split()
    hours = float(values[-1])
    connections.close_all()
    began = time.monotonic()
    process = os.fork()
    if process == 0:
        try:
            child(values[0] if how == "stage" else "", hours)
        finally:
            os._exit(2)
    if how == "after":
        end = began + float(values[0])
        look = os.WEXITED | os.WNOHANG | os.WNOWAIT  # it stays a zombie, its number is not reused
        while time.monotonic() < end and os.waitid(os.P_PID, process, look) is None:
            time.sleep(0.003)
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return "killed"
    assert os.waitstatus_to_exitcode(status) == 0
    return f"ended {time.monotonic() - began:.3f}"


if __name__ == "__main__":
    for given in sys.stdin:
        print(one(given), flush=True)
