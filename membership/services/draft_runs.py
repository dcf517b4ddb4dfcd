"""Drafted definitions computed at the newest published as-of, without publishing anything.

It is the run: the same compiled plan, watermark, as-of and lifecycle, starting from the memberships
after the newest published run, with the manual rows, objections and lists of now. So the result
is what a recompute at that as-of gives after the draft is published, as long as no facts come in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from django.utils.translation import gettext as _

from membership.queries import load_definition_set
from membership.services.basis import RunBasis, before_run, held_after, run_inputs, touched_by
from membership.services.draft_definitions import DraftDefinitions, Reach
from membership.services.instant_tiers import moved_since, with_moved
from membership.services.tier_changes import TierRun, decide_tiers
from segmentation.domain.definitions import Catalog
from segmentation.domain.dependencies import Ref, lists_used
from segmentation.domain.errors import TierwiseError
from segmentation.domain.rules import Node
from segmentation.engine import mirror
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import compute
from segmentation.engine.drafts import (
    compute_over_snapshot,
    open_snapshot,
    part_of,
    same_value,
)
from segmentation.engine.plan import CompiledPlan, RankRules, compile_plan
from segmentation.engine.results import run_folder
from segmentation.engine.stopwatch import Stopwatch
from segmentation.models import Run
from segmentation.services.overrides import load_overrides
from segmentation.services.run_catalogs import run_catalog


@dataclass(frozen=True, slots=True)
class DraftRun:
    """Open verdicts of a draft: the tables `verdicts` and `memberships`, the view `snapshot`."""

    duck: duckdb.DuckDBPyConnection
    draft: DraftDefinitions
    run: Run
    before: Catalog  # as the run knew it
    columns: frozenset[str]  # of the snapshot
    plan: CompiledPlan


def is_quick(draft: DraftDefinitions, reached: Reach, *, run: Run) -> bool:
    """Whether the newest run has computed every metric that is needed."""
    known = run_catalog(run).metrics
    return all(
        same_value(draft.catalog.metrics[key], known.get(key)) for key in reached.needed["metric"]
    )


@contextmanager
def computed_draft(
    draft: DraftDefinitions,
    reached: Reach,
    *,
    run: Run,
    refs: Sequence[Ref],
    probes: Mapping[str, Node],
    now: datetime,
) -> Iterator[DraftRun]:
    """Compute what is needed of a draft to know the sets of `refs` and the `probes`.

    Raises TierwiseError `files_missing` when the run's files are gone.
    """
    catalog = part_of(draft.catalog, reached.needed)
    snapshot = run_folder(run.pk) / "snapshot.parquet"
    if not snapshot.is_file() or run.watermark is None:
        message = _("The files of run %(run)s are gone; start a run.") % {"run": run.pk}
        raise TierwiseError(message, code="files_missing")
    overrides = load_overrides(lists_used(catalog))
    moved = moved_since(run)
    held = with_moved(held_after(run), moved)
    before = _before(draft, run, held)
    basis = RunBasis(catalog, reached.programs, (), held, before, overrides, moved)
    touched, has_objections = touched_by(overrides, catalog)
    programs = [ref.key for ref in refs if ref.kind == "program"]
    decided = [pair for pair in reached.programs if pair[0].key in programs]
    plan = compile_plan(
        catalog,
        ladders=[
            RankRules(program.key, tuple((tier.rank, tier.rule) for tier in version.tiers))
            for program, version in decided
        ],
        tier_ranks={
            program.key: {tier.key: tier.rank for tier in version.tiers}
            for program, version in reached.programs
        },
        overrides=touched,
        has_objections=has_objections,
        probes=probes,
    )
    with mirror.standing(run.watermark, now=now) as manifest, open_duckdb() as duck:
        inputs = run_inputs(basis, manifest, watermark=run.watermark, as_of=run.as_of)
        columns = open_snapshot(duck, snapshot)
        if is_quick(draft, reached, run=run):
            kept = [*_columns(plan, refs, decided), *probes]
            cuts = _frozen_cuts(run, catalog)
            compute_over_snapshot(duck, plan, inputs, known=cuts, kept=kept)
        else:
            compute(duck, plan, inputs, Stopwatch())
        held = held.filter(pc.is_in(held["program"], pa.array(programs, pa.string())))
        tier_run = TierRun(plan, catalog.metrics, run.as_of, inputs.currency)
        decide_tiers(duck, tier_run, decided, held)
        yield DraftRun(duck, draft, run, run_catalog(run), columns, plan)


def _columns(plan: CompiledPlan, refs: Sequence[Ref], decided: Sequence[object]) -> list[str]:
    """The columns of the verdicts that tell the sets of `refs`; tiers are told with the values of
    their metrics."""
    found: dict[str, None] = {}
    for name in plan.verdicts_expression.columns:
        kind, _colon, rest = name.partition(":")
        match kind:
            case "s":
                is_asked = Ref("segment", rest) in refs
            case "l":
                is_asked = Ref("layering", rest) in refs
            case "t":
                is_asked = any(
                    ref.kind == "tag" and (rest == ref.key or rest.startswith(f"{ref.key}="))
                    for ref in refs
                )
            case "m" | "d":
                is_asked = bool(decided) or Ref("metric", rest) in refs
            case "q":
                is_asked = True
            case _:
                is_asked = False
        if is_asked:
            found[name] = None
    return list(found)


def _before(draft: DraftDefinitions, run: Run, held: pa.Table) -> pa.Table:
    """The memberships that `tier` leaves read: those before the run, if it is made again as it
    was, else those after it."""
    is_same = False
    if run.definition_set is not None:
        is_same = load_definition_set(run.definition_set) == (draft.catalog, draft.programs)
    return before_run(
        run,
        held,
        as_of=run.as_of,
        watermark=run.watermark or 0,
        definition_set_id=run.definition_set_id if is_same else None,
    )


def _frozen_cuts(run: Run, catalog: Catalog) -> dict[str, list[tuple[int, int]]]:
    """The percentile cuts that the run froze, of the layerings that are cut the same way."""
    before = run_catalog(run).layerings
    return {
        key: [(int(top), int(below)) for top, below in run.cuts[key]]
        for key, layering in catalog.layerings.items()
        if key in run.cuts
        and key in before
        and before[key].metric == layering.metric
        and before[key].percentiles == layering.percentiles
    }
