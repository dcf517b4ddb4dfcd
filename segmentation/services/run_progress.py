"""How far a run is, and how long it may still take, by the last runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from statistics import median

from segmentation.models import Run

# In the order in which a run goes through them.
STAGES = (
    "mirror", "plan", "facts", "metrics", "cuts", "rules", "tiers", "snapshot", "bitmaps",
    "parity", "breaker", "postgresql",
)  # fmt: skip
_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class RunProgress:
    """`stage` is the number of the stage under way, from 1 (0: none yet) of `stages`. `usual` is
    the median of what the last runs took in seconds, `done` a share from 0 to 1; None when no run
    was ever published."""

    stage: int
    stages: int
    elapsed: float
    usual: float | None
    done: float | None


def run_progress(run: Run, *, now: datetime) -> RunProgress:
    """Of a run under way. By time alone a run that takes longer than usual would be finished before
    its end, by stages alone one long stage would look stuck; so the last runs' times per stage say
    how much was done before this stage, and the time in it no more than the stage's own share."""
    elapsed = 0.0 if run.started_at is None else max((now - run.started_at).total_seconds(), 0.0)
    place = STAGES.index(run.stage) if run.stage in STAGES else -1
    known = [
        {stage: float(found) for stage, found in seconds.items() if stage in STAGES}
        for seconds in Run.objects.filter(status=Run.Status.PUBLISHED)
        .order_by("-finished_at")
        .values_list("seconds", flat=True)[:_LOOKED_AT]
    ]
    if not known:
        return RunProgress(place + 1, len(STAGES), elapsed, None, None)
    usual = {stage: median(row.get(stage, 0.0) for row in known) for stage in STAGES}
    whole = sum(usual.values()) or 1.0
    before = sum(usual[stage] for stage in STAGES[: max(place, 0)])
    here = usual[STAGES[place]] if place >= 0 else 0.0
    done = (before + min(max(elapsed - before, 0.0), here)) / whole
    return RunProgress(place + 1, len(STAGES), elapsed, whole, min(done, 0.99))


def runs_before(run: Run, *, now: datetime) -> int:
    """How many runs will be worked on before a waiting one, the one under way included."""
    under_way = Run.objects.filter(status=Run.Status.RUNNING).count()
    waiting = Run.objects.filter(status=Run.Status.QUEUED, pk__lt=run.pk)
    return under_way + waiting.exclude(not_before__gt=now).count()
