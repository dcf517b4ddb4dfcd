"""The instant path: tiers of customers whose facts just came in, between two runs.

Guarantee: what a batch gives (an entry, an upgrade, a renewal) is what a run at the same as-of,
with the definitions and cuts of the newest published run, gives the same customers. What takes
something away (grace, a step down, leaving) is left to the runs, which a broken feed can hold.
Marks and changes are one transaction: a batch that dies has done nothing, and is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

import duckdb
import pghistory
import pyarrow as pa
import pyarrow.compute as pc
from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import transaction

from membership.models import InstantBatch
from membership.services.basis import RunBasis, ranked_before
from membership.services.definitions import living_tiers
from membership.services.instant_plans import InstantPlan, instant_plan
from membership.services.instant_standings import keep_standings
from membership.services.instant_tiers import held_now, lock_tiers
from membership.services.publish_run import staged, write_staged
from membership.services.tier_changes import MEMBERSHIPS, TierRun, decide_tiers
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import OVERRIDES, Moment, decide_over
from segmentation.engine.direct_facts import open_direct_facts
from segmentation.engine.stopwatch import Stopwatch
from segmentation.models import Run
from segmentation.queries import newest_published_run
from segmentation.services.definitions import lock_definitions
from segmentation.services.marks import Taken, postpone, remove_marks, still_there, take_marks

MOST_CUSTOMERS = 2000
# What an order can bring at once.
GIVING = ("entry", "upgrade", "renewal")
# So many customers of one batch may fail alone before it is no longer taken for their fault.
_MOST_FAILURES = 20

Clock = Callable[[], datetime]
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Done:
    """What one batch did. `failed` counts customers who are put off because of an error."""

    customers: int = 0
    changes: int = 0
    failed: int = 0


def do_batch(*, clock: Clock, real: Clock, most: int = MOST_CUSTOMERS) -> Done | None:
    """Look at the customers marked first; None when nobody is due or nothing is published yet.

    `clock` is the project's. An error of one customer's facts costs that customer a pause, not the
    others their tier: a batch that fails is halved until the customer is found. Errors of the
    database are raised.
    """
    run = newest_published_run()
    if run is None:
        return None
    taken = take_marks(most=most, now=max(clock(), run.as_of), real=real())
    if not taken:
        return None
    instant_plan(run, max(clock(), run.as_of))  # what fails here is nobody's facts
    done = Done()
    waiting: list[Taken] = [taken]
    while waiting:
        part = waiting.pop()
        try:
            customers, changes = _decide(part, clock=clock, real=real)
            done = Done(done.customers + customers, done.changes + changes, done.failed)
        except AnyDatabaseError:
            raise
        except Exception as error:
            if len(part) == 1 or done.failed >= _MOST_FAILURES:
                logger.exception("instant path: %s customers put off", len(part))
                postpone(part, error=f"{type(error).__name__}: {error}"[:500], real=real())
                done = Done(done.customers, done.changes, done.failed + len(part))
            else:
                waiting += _halves(part)
    return done


def _halves(taken: Taken) -> tuple[Taken, Taken]:
    pairs = list(taken.items())
    middle = len(pairs) // 2
    return dict(pairs[middle:]), dict(pairs[:middle])  # the end of a list is taken first


def _decide(taken: Taken, *, clock: Clock, real: Clock) -> tuple[int, int]:
    started = real()
    # Definitions before tiers, as runs and erasures do.
    with transaction.atomic():
        lock_definitions(exclusive=False)
        lock_tiers()
        taken = still_there(taken)  # another loop may have been here while this one waited
        if not taken:
            return 0, 0
        run = newest_published_run()
        assert run is not None  # published runs stay
        # Never before what is published: that would be history.
        as_of = max(clock(), run.as_of)
        plan = instant_plan(run, as_of)
        customers, changes = _compute(list(taken), plan, run, as_of=as_of)
        remove_marks(taken)
        if changes.num_rows:
            batch = InstantBatch.objects.create(
                run=run,
                as_of=as_of,
                customers=customers,
                changes=changes.num_rows,
                started_at=started,
                finished_at=real(),
            )
            with (
                pghistory.context(actor="instant", instant_batch=batch.pk),
                staged(changes) as cursor,
            ):
                write_staged(cursor, run_id=run.pk, at=as_of, batch_id=batch.pk)
    return customers, changes.num_rows


def _compute(
    customers: list[int], used: InstantPlan, run: Run, *, as_of: datetime
) -> tuple[int, pa.Table]:
    """How many of the customers there still are, and what they are given."""
    held = held_now(customers)
    basis = RunBasis(
        used.plan.catalog,
        used.programs,
        (),
        held,
        held,
        OVERRIDES.empty_table(),
        MEMBERSHIPS.empty_table(),
    )
    moment = Moment(
        as_of=as_of,
        zone=ZoneInfo(settings.TIME_ZONE),
        currency=settings.BASE_CURRENCY,
        overrides=basis.overrides,
        before=ranked_before(basis),
    )
    with open_duckdb() as duck:
        open_direct_facts(duck, customers, kinds=used.kinds, properties=used.plan.properties)
        decide_over(duck, used.plan, moment, Stopwatch(), frozen=used.cuts)
        tier_run = TierRun(used.plan, used.plan.catalog.metrics, as_of, moment.currency)
        changes = _given(decide_tiers(duck, tier_run, used.programs, held))
        keep_standings(duck, used.plan, as_of=as_of)
        return _count(duck), changes


def _given(changes: pa.Table) -> pa.Table:
    """What gives something, and only tiers that definitions published since have not removed."""
    living = pa.array([f"{program}/{tier}" for program, tier in living_tiers()], pa.string())
    named = pc.binary_join_element_wise(changes["program"], changes["tier"], "/")
    return changes.filter(
        pc.and_(pc.is_in(changes["kind"], pa.array(GIVING)), pc.is_in(named, living))
    )


def _count(duck: duckdb.DuckDBPyConnection) -> int:
    return int(duck.execute("SELECT count(*) FROM verdicts").fetchall()[0][0])
