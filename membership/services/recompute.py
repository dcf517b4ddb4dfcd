"""Recompute: one run from the mirror to published memberships."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from importlib.metadata import version as package_version
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
from celery import current_app
from django.db import transaction
from django.db.models import Max
from kombu.exceptions import KombuError

from membership.queries import load_definition_set
from membership.services.basis import RunBasis, member_columns, plan_for, run_basis, run_inputs
from membership.services.breaker import findings_of
from membership.services.definitions import definition_set
from membership.services.held_runs import write_held_changes
from membership.services.instant_tiers import moved_since, newest_batch, write_moved
from membership.services.parity import check_parity
from membership.services.publish_run import RunResult, publish, tier_counts
from membership.services.tier_changes import TierRun, decide_tiers
from segmentation.domain.breaker import Finding
from segmentation.domain.dependencies import lists_used
from segmentation.engine import mirror
from segmentation.engine.backend import open_duckdb, refuse_other_engines
from segmentation.engine.compute import RunInputs, compute
from segmentation.engine.mirror_files import tzdata_version
from segmentation.engine.plan import CompiledPlan
from segmentation.engine.results import (
    run_folder,
    segment_bitmaps,
    settle,
    sizes,
    write_hashes,
    write_snapshot,
    write_table,
)
from segmentation.engine.stopwatch import Stopwatch
from segmentation.models import MirrorManifest, Run
from segmentation.services import runs
from segmentation.services.overrides import load_overrides
from segmentation.services.run_catalogs import warm_columns
from segmentation.services.run_holds import RunHold, held

Clock = Callable[[], datetime]
ANSWERING = (Run.Status.PUBLISHED, Run.Status.HISTORICAL)


def request_run(
    *,
    as_of: datetime,
    actor: str,
    now: datetime,
    is_dry_run: bool = False,
    is_scheduled: bool = False,
) -> Run:
    """Queue a run, or answer with the same one that waits, and wake a worker. `now` is the real
    clock's.

    The wake-up may get lost: the next tick, or a waiting command, finds the run all the same.
    Raises like `refuse_other_engines`, and queues nothing then.
    """
    refuse_other_engines()
    run = runs.request_run(
        as_of=as_of, actor=actor, now=now, is_dry_run=is_dry_run, is_scheduled=is_scheduled
    )
    transaction.on_commit(_wake_worker)
    return run


def _wake_worker() -> None:
    try:
        current_app.send_task("membership.tasks.execute_due_runs", queue="runs", retry=False)
    except (KombuError, OSError):
        runs.logger.warning("no broker to wake a worker; the run waits for the next tick")


def execute_next_run(*, clock: Clock, up_to: int | None = None) -> Run | None:
    """Claim the oldest queued run and do it; None when there was none to be had.

    A failure is recorded on the run and not raised.
    """
    runs.free_dead_runs(now=clock())
    run = runs.claim_next_run(now=clock(), up_to=up_to)
    if run is None:
        return None
    with held(run, clock=clock) as hold:
        try:
            _execute(run, hold, clock=clock)
        except Exception as error:
            reason = hold.explains(error)
            if reason is error:
                runs.logger.exception("run %s failed", run.pk)
            else:
                runs.logger.warning("run %s: %s", run.pk, reason)
            runs.fail_run(run, reason, now=clock())
    run.refresh_from_db()
    _warm(run)
    return run


def _warm(run: Run) -> None:
    """Save the first reader of a new run's pages the wait; a failure costs no more than that."""
    if run.status != Run.Status.PUBLISHED:
        return
    try:
        warm_columns(run)
    except Exception:
        runs.logger.exception("the columns of run %s could not be written ahead", run.pk)


def newest_published(before: datetime | None = None, *, inclusive: bool = True) -> Run | None:
    """The newest published run, at or before (not inclusive: strictly before) an as-of."""
    found = Run.objects.filter(status=Run.Status.PUBLISHED)
    if before is not None:
        found = found.filter(**{"as_of__lte" if inclusive else "as_of__lt": before})
    return found.order_by("-as_of", "-pk").first()


def _execute(run: Run, hold: RunHold, *, clock: Clock) -> None:
    watch = Stopwatch(entered=hold.enter, measures_memory=True)
    with ExitStack() as stack:
        # The number before the mirror: whoever these batches gave a tier is in the mirror, however
        # new. What later ones give is read as well and told to the next run again.
        known = newest_batch()
        with watch.stage("mirror"):
            mirror.compact(now=clock())
            mirror.sweep()
            before = MirrorManifest.objects.aggregate(newest=Max("generation"))["newest"] or 0
            manifest = stack.enter_context(mirror.pinned(now=clock()))
            watch.count("mirror", _rows(manifest, after=before))
        with watch.stage("plan"):
            used = definition_set()
            current = newest_published()
            # Of equal as-ofs the run asked for last answers. One that was overtaken, because it
            # had to wait after a failure, comes too late to change what the later one published.
            is_historical = current is not None and (run.as_of, run.pk) < (
                current.as_of,
                current.pk,
            )
            run.base_run = newest_published(run.as_of, inclusive=not is_historical)
            lists = lists_used(load_definition_set(used)[0])
            run.instant_before = None if is_historical else known
            basis = run_basis(
                used,
                run.as_of,
                run.base_run,
                load_overrides(lists),
                watermark=manifest.generation,
                moved=moved_since(None if is_historical else run.base_run),
            )
            plan = plan_for(used, basis)
        inputs = run_inputs(basis, manifest, watermark=manifest.generation, as_of=run.as_of)
        scratch = _scratch_folder(run)
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        status = _status(run, is_historical=is_historical)
        result = _compute(run, plan, basis, inputs, watch, scratch, is_judged=not is_historical)
        if result.fields["held_reasons"] and not run.is_dry_run:
            status = Run.Status.HELD
        result.fields["definition_set"] = used
        result.fields["base_run"] = run.base_run
        result.fields["instant_before"] = run.instant_before
        with watch.stage("postgresql"):
            watch.count("postgresql", result.rows)
            publish(
                run,
                result,
                status=status,
                settle_files=lambda: settle(scratch, run.pk),
                measured=lambda: {
                    "seconds": watch.rounded(),
                    "rows": watch.rows,
                    "memory": watch.memory,
                    "spilled": hold.spilled,
                },
                now=clock(),
            )


def _compute(
    run: Run,
    plan: CompiledPlan,
    basis: RunBasis,
    inputs: RunInputs,
    watch: Stopwatch,
    scratch: Path,
    *,
    is_judged: bool,
) -> RunResult:
    """Everything before PostgreSQL: verdicts, tiers, files, bitmaps, the oracle's sample, and if it
    `is_judged` whether a person must look first."""
    with open_duckdb() as duck:
        cuts = compute(duck, plan, inputs, watch)
        with watch.stage("tiers"):
            tier_run = TierRun(plan, plan.catalog.metrics, run.as_of, inputs.currency)
            changes = decide_tiers(duck, tier_run, basis.programs, basis.held)
        with watch.stage("snapshot"):
            recorded = _write_files(duck, plan, basis, inputs.currency, scratch)
        with watch.stage("bitmaps"):
            bitmaps = segment_bitmaps(duck, plan.catalog)
            found_sizes = sizes(duck, plan.catalog)
            customers = _count(duck)
            members = duck.sql("SELECT * FROM memberships").to_arrow_table()
        with watch.stage("parity"):
            parity = check_parity(duck, plan, inputs, cuts, basis.programs, seed=run.pk)
        found: tuple[Finding, ...] = ()
        if is_judged:
            with watch.stage("breaker"):
                found_members = {key: len(members) for key, members in bitmaps.items()}
                found = findings_of(run, duck, sizes=found_members, zone=inputs.zone)
                if found and not run.is_dry_run:
                    write_held_changes(changes, scratch)
    watch.count("facts", _rows(inputs.manifest))
    # Customers, not members: a sum over all segments would tell the size of the hidden ones.
    for stage in ("metrics", "rules", "snapshot", "bitmaps"):
        watch.count(stage, customers)
    watch.count("tiers", changes.num_rows)
    watch.count("parity", parity.checked)
    if parity.mismatches:
        runs.logger.error(
            "run %s: engine and oracle disagree %s times", run.pk, len(parity.mismatches)
        )
    fields = {
        "watermark": inputs.watermark,
        "engine": f"duckdb {package_version('duckdb')}",
        "tzdata_version": tzdata_version(),
        "customers": customers,
        "recorded_hash": recorded,
        "cuts": {key: [list(pair) for pair in pairs] for key, pairs in cuts.items()},
        "parity_checked": parity.checked,
        "parity_mismatches": parity.mismatches,
        "held_reasons": [finding.as_row() for finding in found],
    }
    counts = tier_counts(members, _declared_tiers(basis))
    return RunResult(bitmaps, found_sizes, counts, changes, fields)


def _declared_tiers(basis: RunBasis) -> dict[str, list[str]]:
    declared = {
        program.key: [tier.key for tier in version.tiers] for program, version in basis.programs
    }
    for program in basis.dormant:
        declared[program.key] = [tier.key for tier in program.versions[-1].tiers]
    return declared


def _status(run: Run, *, is_historical: bool) -> str:
    if run.is_dry_run:
        return Run.Status.DRY_RUN
    return Run.Status.HISTORICAL if is_historical else Run.Status.PUBLISHED


def _write_files(
    duck: duckdb.DuckDBPyConnection,
    plan: CompiledPlan,
    basis: RunBasis,
    currency: str,
    folder: Path,
) -> str:
    """Snapshot, memberships, pinned inputs and hashes below `folder`; returns the overall hash."""
    write_snapshot(duck, folder)
    write_table(
        duck,
        "SELECT m.*, v.external_id FROM memberships m JOIN verdicts v ON v.ordinal = m.ordinal",
        folder / "memberships.parquet",
    )
    pq.write_table(basis.overrides, folder / "overrides.parquet")
    write_moved(basis.moved, folder)
    return write_hashes(duck, plan, currency, folder, member_columns(duck, basis))


def _scratch_folder(run: Run) -> Path:
    folder = run_folder(run.pk).parent / f".writing-{run.pk}-{secrets.token_hex(4)}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left_over in folder.parent.glob(f".writing-{run.pk}-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    folder.mkdir()
    return folder


def _rows(manifest: MirrorManifest, *, after: int = -1) -> int:
    """Rows of facts in the mirror's files, or in those written after a generation."""
    return sum(
        int(file["rows"])
        for file in manifest.files
        if file["role"] == "rows" and file["generation"] > after
    )


def _count(duck: duckdb.DuckDBPyConnection) -> int:
    # fetchone would leave the result unfinished, which this connection does not forgive.
    return int(duck.execute("SELECT count(*) FROM verdicts").fetchall()[0][0])
