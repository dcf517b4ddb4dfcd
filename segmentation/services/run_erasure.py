"""Taking people out of everything that runs stored: bitmaps, sizes and files.

Sizes are those of the bitmaps, always (case S08). Counts of tags, layers and tiers stay: totals of
a day, without a person. Everything here is safe to repeat after a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import pgtrigger
from django.db import transaction
from pyroaring import BitMap

from segmentation.engine.run_erasure import (
    remaining_hashes,
    remove_from_files,
    remove_left_over,
    stored_runs,
    unfinished_folders,
)
from segmentation.models import Run, RunErasure, SegmentResult

_RESULTS_AT_ONCE = 50
_PARTS = (("members", "size"), ("entered", "entered_count"), ("left", "left_count"))


def remove_from_runs(
    ordinals: Collection[int], *, on_run: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """No stored run has these bitmap positions any more. `on_run(done, total)` is told how far.

    Must not be called inside a transaction: each run is done on its own.
    """
    gone = BitMap(ordinals)
    if not gone:
        return
    _remove_left_over()
    runs = sorted({*stored_runs(), *SegmentResult.objects.values_list("run_id", flat=True)
                   .distinct()})  # fmt: skip
    for done, run_id in enumerate(runs):
        on_run(done, len(runs))
        _remove_from_bitmaps(run_id, gone)
        _note_remaining(run_id, list(gone))
        remove_from_files(run_id, list(gone))
    on_run(len(runs), len(runs))


def _remove_left_over() -> None:
    """What killed workers were writing. Listed first: a run that begins after that knows nobody who
    is gone."""
    folders = unfinished_folders()
    running = set(Run.objects.filter(status=Run.Status.RUNNING).values_list("pk", flat=True))
    remove_left_over(path for path, run in folders if run not in running)


def _remove_from_bitmaps(run_id: int, gone: BitMap) -> None:
    """One transaction a run. The trigger that keeps results as they were published is switched off
    for exactly these statements."""
    found = SegmentResult.objects.filter(run_id=run_id).order_by("pk")
    with transaction.atomic(), pgtrigger.ignore("segmentation.SegmentResult:immutable"):
        for result in found.iterator(chunk_size=_RESULTS_AT_ONCE):
            changes: dict[str, object] = {}
            for bitmap, count in _PARTS:
                stored = BitMap.deserialize(bytes(getattr(result, bitmap)))
                if stored.isdisjoint(gone):
                    continue
                kept = stored - gone
                changes |= {bitmap: kept.serialize(), count: len(kept)}
            if changes:
                SegmentResult.objects.filter(pk=result.pk).update(**changes)


def _note_remaining(run_id: int, gone: Collection[int]) -> None:
    """Remember, before the files change, the hash that they will have: `verify_run` compares with
    it. A file that was not the published one is not made good by this: its hash stays wrong."""
    run = Run.objects.filter(pk=run_id).first()
    found = remaining_hashes(run_id, gone)
    if run is None or found is None or not found.gone:
        return
    with transaction.atomic():
        noted = RunErasure.objects.select_for_update().filter(run=run).first()
        published = run.recorded_hash if noted is None else noted.remaining_hash
        if found.before != published:
            return
        RunErasure.objects.update_or_create(
            run=run,
            defaults={
                "remaining_hash": found.after,
                "customers": found.gone + (0 if noted is None else noted.customers),
            },
        )
