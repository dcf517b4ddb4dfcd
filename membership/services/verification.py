"""Deriving a past run again from what it was made of."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from membership.services.basis import member_columns, plan_for, run_basis, run_inputs
from membership.services.tier_changes import TierRun, decide_tiers
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.engine import mirror
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import compute
from segmentation.engine.hashes import overall_hash
from segmentation.engine.results import run_folder, write_hashes
from segmentation.engine.stopwatch import Stopwatch
from segmentation.models import Run
from segmentation.services.overrides import pinned_overrides


@dataclass(frozen=True, slots=True)
class Verification:
    """Both hashes over the customers that remain; `erased` counts those that are gone.

    `recorded_hash` is never that of a file that agrees but is not the one the run published.
    """

    recorded_hash: str
    derived_hash: str
    erased: int

    @property
    def equal(self) -> bool:
        return self.recorded_hash == self.derived_hash


def verify_run(run_id: int, *, now: datetime) -> Verification:
    """Compute a finished run again: same watermark, definitions, as-of, manual rows and starting
    memberships. Publishes nothing. Raises NotFoundError for a run that has no result."""
    run = Run.objects.select_related("definition_set", "base_run").filter(pk=run_id).first()
    if run is None or run.definition_set is None or run.watermark is None:
        raise NotFoundError(f"There is no finished run {run_id}.")
    recorded = run_folder(run.pk) / "hashes.parquet"
    if not recorded.is_file():
        raise TierwiseError(
            f"The files of run {run_id} are gone; restore them from a backup.", code="files_missing"
        )
    basis = run_basis(
        run.definition_set,
        run.as_of,
        run.base_run,
        pinned_overrides(run),
        watermark=run.watermark,
    )
    plan = plan_for(run.definition_set, basis)
    with ExitStack() as stack:
        manifest = stack.enter_context(mirror.pinned(now=now))
        scratch = Path(tempfile.mkdtemp(prefix=".verify-", dir=run_folder(run.pk).parent))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        inputs = run_inputs(basis, manifest, watermark=run.watermark, as_of=run.as_of)
        duck = stack.enter_context(open_duckdb())
        compute(duck, plan, inputs, Stopwatch())
        tier_run = TierRun(plan, plan.catalog.metrics, run.as_of, inputs.currency)
        decide_tiers(duck, tier_run, basis.programs, basis.held)
        write_hashes(duck, plan, inputs.currency, scratch, member_columns(duck, basis))
        return _compare(recorded, scratch / "hashes.parquet", published=run.recorded_hash)


def _compare(recorded: Path, derived: Path, *, published: str) -> Verification:
    before = pq.read_table(recorded)
    after = pq.read_table(derived)
    remaining = set(after["external_id"].to_pylist())
    ids = before["external_id"].to_pylist()
    hashes = np.asarray(before["hash"])
    kept = [position for position, name in enumerate(ids) if name in remaining]
    recorded_hash = overall_hash([ids[position] for position in kept], hashes[kept])
    derived_hash = overall_hash(after["external_id"].to_pylist(), np.asarray(after["hash"]))
    if recorded_hash == derived_hash and overall_hash(ids, hashes) != published:
        # The file agrees, but it is not the one that the run published: that proves nothing.
        recorded_hash = published
    return Verification(recorded_hash, derived_hash, erased=len(ids) - len(kept))
