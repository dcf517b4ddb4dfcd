"""Following a run to its end, and doing the work when nobody else does."""

from __future__ import annotations

import time
from collections.abc import Callable

from membership.services.recompute import Clock, execute_next_run
from segmentation.models import Run
from segmentation.services import runs

_WAIT_FOR_WORKER = 3.0
_POLL = 0.1


def follow_run(
    run_id: int,
    *,
    clock: Clock,
    on_stage: Callable[[Run], None] | None = None,
    may_work: bool = True,
) -> Run:
    """Wait for a run's end. If no worker claims it within 3 seconds and no other run is in
    progress, this process does the work (and that of runs queued before it)."""
    waited = time.monotonic()
    shown = ""
    while True:
        run = Run.objects.get(pk=run_id)
        if run.status not in (Run.Status.QUEUED, Run.Status.RUNNING):
            return run
        if on_stage is not None and run.stage != shown:
            shown = run.stage
            on_stage(run)
        runs.free_dead_runs(now=clock())
        if runs.run_in_progress(now=clock()):
            waited = time.monotonic()
        elif (
            may_work
            and time.monotonic() - waited >= _WAIT_FOR_WORKER
            and execute_next_run(clock=clock, up_to=run_id) is not None
        ):
            continue
        time.sleep(_POLL)
