"""Deriving a past run again from what it was made of."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from membership.services.basis import member_columns, plan_for, run_basis, run_inputs
from membership.services.instant_tiers import pinned_moved
from membership.services.tier_changes import TierRun, decide_tiers
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.engine import mirror
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import compute
from segmentation.engine.cuts import Cuts
from segmentation.engine.hashes import overall_hash
from segmentation.engine.results import run_folder, write_hashes
from segmentation.engine.stopwatch import Stopwatch
from segmentation.models import Customer, PrivacyRequest, Run, RunErasure
from segmentation.services.overrides import pinned_overrides


@dataclass(frozen=True, slots=True)
class Verification:
    """Both hashes over the customers that remain; `erased` counts those that are gone.

    Customers who had referred an erased one are compared by neither hash. `recorded_hash` is
    never that of a file that agrees but is not the one the run published.
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
        moved=pinned_moved(run),
    )
    plan = plan_for(run.definition_set, basis)
    with ExitStack() as stack:
        manifest = stack.enter_context(mirror.pinned(now=now))
        scratch = Path(tempfile.mkdtemp(prefix=".verify-", dir=run_folder(run.pk).parent))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        inputs = run_inputs(basis, manifest, watermark=run.watermark, as_of=run.as_of)
        duck = stack.enter_context(open_duckdb())
        compute(duck, plan, inputs, Stopwatch(), frozen=_frozen_cuts(run))
        tier_run = TierRun(plan, plan.catalog.metrics, run.as_of, inputs.currency)
        decide_tiers(duck, tier_run, basis.programs, basis.held)
        write_hashes(duck, plan, inputs.currency, scratch, member_columns(duck, basis))
        return _compare(recorded, scratch / "hashes.parquet", run)


def _frozen_cuts(run: Run) -> Cuts | None:
    """The recorded cuts once somebody is erased: they were found among more customers than there
    are now. While nobody is, they are derived again like everything else."""
    if not Customer.objects.filter(erased_at__isnull=False).exists():
        return None
    return {
        key: [(int(top), int(below)) for top, below in pairs] for key, pairs in run.cuts.items()
    }


def _referrers_of_erased() -> set[str]:
    """Who brought somebody who is erased: the referral went too, so what a run found about it
    can't be derived again."""
    done = PrivacyRequest.objects.filter(kind=PrivacyRequest.Kind.ERASE)
    found = done.values_list("details__referrers", flat=True)
    ordinals = {ordinal for listed in found for ordinal in listed or ()}
    names = Customer.objects.filter(ordinal__in=ordinals)
    return set(names.values_list("external_id", flat=True))


def _compare(recorded: Path, derived: Path, run: Run) -> Verification:
    erasure = RunErasure.objects.filter(run=run).first()
    published = run.recorded_hash if erasure is None else erasure.remaining_hash
    removed = 0 if erasure is None else erasure.customers
    before = pq.read_table(recorded)
    after = pq.read_table(derived)
    known = set(after["external_id"].to_pylist())
    names = known - _referrers_of_erased()
    ids = before["external_id"].to_pylist()
    recorded_hash, derived_hash = _hash_of(before, names), _hash_of(after, names)
    if recorded_hash == derived_hash and _hash_of(before, set(ids)) != published:
        # The file agrees, but it is not the one that the run published: that proves nothing.
        recorded_hash = published
    gone = sum(name not in known for name in ids)
    return Verification(recorded_hash, derived_hash, erased=removed + gone)


def _hash_of(table: pa.Table, names: set[str]) -> str:
    kept = pc.is_in(table["external_id"], pa.array(sorted(names), pa.string()))
    chosen = table.filter(kept)
    return overall_hash(chosen["external_id"], np.asarray(chosen["hash"]))
