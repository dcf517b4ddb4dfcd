"""What can be wrong with runs: failed, held, late, not started, not to be trusted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from membership.domain.alerts import Schedule, last_due, longest_run
from segmentation.models import Run
from segmentation.queries import installation
from segmentation.services.run_errors import CANCELLED, OVERTAKEN, REJECTED, SUPERSEDED

from .alert_findings import Finding, Findings, Watched

DAILY = "membership.tasks.recompute_daily"
_MOST = 50  # findings of one rule
_LAST_RUNS = 10
_MEANT = (CANCELLED, OVERTAKEN, REJECTED, SUPERSEDED)
_CLOCK_SKEW = timedelta(minutes=1)  # between the machines of beat and worker


def run_failed(watched: Watched) -> Findings:
    """Failed runs that no later one has made good; not those that a person stopped or rejected, or
    whose place a newer one has taken.

    A historical run changes nothing current: it makes good only one of its own as-of.
    """
    published = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-pk")
    newest = published.values_list("pk", flat=True).first() or 0
    again = Run.objects.filter(
        status=Run.Status.HISTORICAL, pk__gt=OuterRef("pk"), as_of=OuterRef("as_of")
    )
    failed = Run.objects.filter(~Exists(again), pk__gt=newest, status=Run.Status.FAILED)
    failed = failed.filter(is_dry_run=False).exclude(error_code__in=_MEANT)
    return tuple(_of_run(run) for run in failed.only("pk", "as_of").order_by("-pk")[:_MOST])


def run_held(watched: Watched) -> Findings:
    """Runs that wait for a person: one that is published ends those before it, no other does."""
    held = Run.objects.filter(status=Run.Status.HELD).only("pk", "as_of")
    return tuple(_of_run(run) for run in held.order_by("-pk")[:_MOST])


def _of_run(run: Run, **more: Any) -> Finding:
    return Finding(f"run:{run.pk}", {"run": run.pk, "as_of": run.as_of.isoformat(), **more})


def run_late(watched: Watched) -> Findings:
    """Runs under way for too long, those that failed and are tried again for too long, and a queue
    that nobody works on. Runs that wait behind another one are in order."""
    ended = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-pk")[:_LAST_RUNS]
    limit = longest_run(
        [
            run.finished_at - run.started_at
            for run in ended.only("started_at", "finished_at")
            if run.finished_at and run.started_at
        ],
        floor=timedelta(minutes=watched.thresholds["minutes"]),
        times=watched.thresholds["times"],
    )
    open_runs = list(
        Run.objects.filter(status__in=(Run.Status.QUEUED, Run.Status.RUNNING))
        .only("pk", "as_of", "status", "attempts", "requested_at", "started_at", "not_before")
        .order_by("pk")
    )
    found = []
    for run in open_runs:
        if not run.attempts:
            continue
        since = run.requested_at if run.attempts > 1 else run.started_at or run.requested_at
        if watched.now - since > limit:
            found.append(
                _of_run(
                    run,
                    cause="slow" if run.status == Run.Status.RUNNING else "retried",
                    since=since.isoformat(),
                    limit=int(limit.total_seconds() // 60),
                    attempts=run.attempts,
                )
            )
    return (*found[:_MOST], *_unattended(open_runs, watched=watched))


def _unattended(runs: list[Run], *, watched: Watched) -> Findings:
    """The oldest run that could be taken and is not, while no other is under way."""
    if any(run.status == Run.Status.RUNNING for run in runs):
        return ()
    patience = timedelta(minutes=watched.thresholds["waiting_minutes"])
    for run in runs:
        ready = max(run.requested_at, run.not_before or run.requested_at)
        if run.attempts == 0 and watched.now - max(ready, watched.since) > patience:
            about = {"run": run.pk, "cause": "waiting", "since": ready.isoformat()}
            return (Finding("queue", about),)
    return ()


def run_missing(watched: Watched) -> Findings:
    """Schedules of the daily recompute after whose last due time nobody asked for a run.

    Crontabs follow the project's clock, requests the real one; the two differ by a fixed span.
    """
    fixed = installation()
    ahead = watched.project_now - watched.now
    patience = timedelta(minutes=watched.thresholds["minutes"])
    tasks = PeriodicTask.objects.filter(task=DAILY, enabled=True, crontab__isnull=False)
    found = []
    for task in tasks.select_related("crontab").order_by("pk"):
        due = last_due(watched.project_now, _schedule(task.crontab))
        if due is None or fixed is None:
            continue
        at = due - ahead
        if at < fixed.set_up_at or (task.start_time is not None and at < task.start_time):
            continue
        if task.expires is not None and at >= task.expires:
            continue
        if watched.now - max(at, watched.since) <= patience:
            continue
        asked = Run.objects.filter(requested_at__gte=at - _CLOCK_SKEW, is_dry_run=False)
        if not asked.exists():
            found.append(Finding(f"schedule:{task.pk}", {"due": due.isoformat()}))
    return tuple(found)


def _schedule(crontab: CrontabSchedule) -> Schedule:
    named = crontab.schedule
    return Schedule(
        minutes=frozenset(named.minute),
        hours=frozenset(named.hour),
        days_of_week=frozenset(named.day_of_week),
        days_of_month=frozenset(named.day_of_month),
        months=frozenset(named.month_of_year),
        zone=ZoneInfo(str(crontab.timezone)),
    )


def parity(watched: Watched) -> Findings:
    """The newest checked run, if the oracle decided differently about somebody of its sample."""
    checked = Run.objects.filter(parity_checked__gt=0).order_by("-pk")
    run = checked.only("pk", "as_of", "parity_checked", "parity_mismatches").first()
    if run is None or not run.parity_mismatches:
        return ()
    customers = {row.get("customer_id") for row in run.parity_mismatches}
    about = {"run": run.pk, "customers": len(customers), "checked": run.parity_checked}
    return (Finding("parity", about),)
