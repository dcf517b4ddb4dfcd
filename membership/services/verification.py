"""Deriving a past run again from what it was made of."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
from django.conf import settings

from membership.services.basis import member_columns, plan_for, ranked_before, run_basis
from membership.services.tier_changes import TierRun, decide_tiers
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.engine import mirror
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import RunInputs, compute
from segmentation.engine.hashes import overall_hash
from segmentation.engine.results import run_folder, write_hashes
from segmentation.engine.stopwatch import Stopwatch
from segmentation.models import Run
from segmentation.services.overrides import pinned_overrides


@dataclass(frozen=True, slots=True)
class Verification:
    """Both hashes over the customers that remain; `erased` counts those that are gone."""

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
    manifest = mirror.advance(now=now)
    basis = run_basis(run.definition_set, run.as_of, run.base_run, pinned_overrides(run))
    plan = plan_for(run.definition_set, basis)
    scratch = Path(tempfile.mkdtemp(prefix=".verify-", dir=run_folder(run.pk).parent))
    try:
        with open_duckdb() as duck:
            inputs = RunInputs(
                manifest=manifest,
                mirror=mirror.mirror_folder(),
                watermark=run.watermark,
                as_of=run.as_of,
                zone=ZoneInfo(settings.TIME_ZONE),
                currency=settings.BASE_CURRENCY,
                overrides=basis.overrides,
                before=ranked_before(basis),
            )
            compute(duck, plan, inputs, Stopwatch())
            tier_run = TierRun(plan, plan.catalog.metrics, run.as_of, settings.BASE_CURRENCY)
            decide_tiers(duck, tier_run, basis.programs, basis.held)
            extra = member_columns(duck, basis)
            write_hashes(duck, plan, settings.BASE_CURRENCY, scratch, extra)
        return _compare(recorded, scratch / "hashes.parquet")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _compare(recorded: Path, derived: Path) -> Verification:
    before = pq.read_table(recorded)
    after = pq.read_table(derived)
    remaining = set(after["external_id"].to_pylist())
    ids = before["external_id"].to_pylist()
    kept = [position for position, name in enumerate(ids) if name in remaining]
    return Verification(
        recorded_hash=overall_hash(
            [ids[position] for position in kept], np.asarray(before["hash"])[kept]
        ),
        derived_hash=overall_hash(after["external_id"].to_pylist(), np.asarray(after["hash"])),
        erased=len(ids) - len(kept),
    )
