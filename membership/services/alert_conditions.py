"""What is wrong now: one function for each kind of alert rule.

Each gives a finding for every subject that is wrong, and none for what is in order again. A finding
holds numbers, ids, keys of programs and kinds of facts, and instants; nothing in it tells that a
hidden segment exists, because alerts go to people and groups without the right to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, F, Max, Q, Sum
from django_celery_beat.models import CrontabSchedule, PeriodicTask

from membership.domain.alerts import Schedule, is_unusually_many, last_due, longest_run, median
from membership.models import AlertKind, Program, Transition
from membership.services.home import stopped_feeds
from segmentation.domain.windows import local_day, local_midnight
from segmentation.models import KINDS, FactBatch, Run
from segmentation.permissions import visible_drafts
from segmentation.queries import installation

DAILY = "membership.tasks.recompute_daily"
UPGRADE_DAYS = 28
_MOST = 50  # findings of one rule
_LAST_RUNS = 10
_ENDED = (Run.Status.PUBLISHED, Run.Status.HISTORICAL)
_RECENT = timedelta(hours=24)  # rejected rows of one import are news for a day
_HOUR = timedelta(hours=1)
# An import is seen after the instant it is recorded at, when its transaction ends: calls soon, big
# files late.
_OVERLAP = timedelta(minutes=5)
_WHOLE_LOOK = timedelta(minutes=10)
_MOST_IMPORTS = 200  # with rejected rows that are remembered
_MOST_DRAFTS = 1000
_CLOCK_SKEW = timedelta(minutes=1)  # between the machines of beat and worker


@dataclass(frozen=True, slots=True)
class Watched:
    """What a condition is judged by. `now` is the real clock's, `project_now` the project's.

    `since`: from when on somebody has been watching without a break. What did not happen while
    everything was switched off gets its time from then on. `memory` outlives the look: a condition
    may keep figures there that don't change any more.
    """

    thresholds: Mapping[str, int]
    now: datetime
    project_now: datetime
    zone: ZoneInfo
    since: datetime
    checked_at: datetime | None
    memory: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: what it is about, and what the words need."""

    subject: str
    parameters: dict[str, Any]


Findings = tuple[Finding, ...]


class _Anybody:
    """Somebody without any right: what they may know of, everybody may."""

    pk = None

    def has_perm(self, perm: str, /) -> bool:
        return False


def run_failed(watched: Watched) -> Findings:
    """Failed runs that no later one has made good."""
    failed = _newer_than_answers().filter(status=Run.Status.FAILED, is_dry_run=False)
    return tuple(_of_run(run) for run in failed.order_by("-pk")[:_MOST])


def run_held(watched: Watched) -> Findings:
    """Runs that wait for a person, unless a later one was published."""
    held = _newer_than_answers().filter(status=Run.Status.HELD)
    return tuple(_of_run(run) for run in held.order_by("-pk")[:_MOST])


def _newer_than_answers() -> Any:
    answering = Run.objects.filter(status__in=_ENDED).order_by("-pk")
    newest = answering.values_list("pk", flat=True).first() or 0
    return Run.objects.filter(pk__gt=newest).only("pk", "as_of")


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


def mirror_lag(watched: Watched) -> Findings:
    """Recorded facts that no run has taken for too long, or too many imports of them."""
    waiting = FactBatch.objects.filter(generation=None).order_by("pk")
    oldest = waiting.values_list("recorded_at", flat=True).first()
    if oldest is None:
        return ()
    most = watched.thresholds["batches"]
    is_late = watched.now - oldest > timedelta(minutes=watched.thresholds["minutes"])
    is_much = most > 0 and len(waiting.values_list("pk", flat=True)[: most + 1]) > most
    if not (is_late or is_much):
        return ()
    about: dict[str, Any] = {"since": oldest.isoformat()}
    return (Finding("mirror", {**about, "batches": most} if is_much else about),)


def rejects(watched: Watched) -> Findings:
    """Kinds of facts of which one import of the last 24 hours lost too many rows, or all imports
    of the last hour together: through the API a row may come alone.

    Imports come by the thousand through the API, so a look reads only the newest, and all of the
    last 24 hours every ten minutes; bad ones are remembered, as [id, recorded at, kind, rejected,
    read].
    """
    rows, percent = watched.thresholds["rows"], watched.thresholds["percent"]
    begin = watched.now - _RECENT
    whole = watched.memory.get("whole_look")
    if whole is None or watched.now - datetime.fromisoformat(whole) >= _WHOLE_LOOK:
        watched.memory["whole_look"] = watched.now.isoformat()
    elif watched.checked_at is not None:
        begin = max(begin, watched.checked_at - _OVERLAP)
    imports = FactBatch.objects.filter(kind__in=KINDS).order_by("-pk")
    newest = imports.annotate(above=F("rejected") * 100 - F("read") * percent).filter(
        recorded_at__gte=begin, rejected__gte=rows, above__gte=0
    )
    known = {row[0]: row for row in watched.memory.get("imports", ())}
    for row in newest.values_list("pk", "recorded_at", "kind", "rejected", "read")[:_MOST_IMPORTS]:
        known[row[0]] = [row[0], row[1].isoformat(), *row[2:]]
    watched.memory["imports"] = [
        row
        for row in sorted(known.values(), reverse=True)
        if datetime.fromisoformat(row[1]) >= watched.now - _RECENT
    ][:_MOST_IMPORTS]
    lost: dict[str, list[int]] = {}  # kind -> newest import, imports, rejected, read
    for pk, _at, kind, rejected, read in watched.memory["imports"]:
        sums = lost.setdefault(kind, [pk, 0, 0, 0])
        sums[1:] = [sums[1] + 1, sums[2] + rejected, sums[3] + read]
    lately = imports.filter(recorded_at__gte=watched.now - _HOUR).order_by().values("kind")
    for hour in lately.annotate(
        newest=Max("pk", filter=Q(rejected__gt=0)),
        imports=Count("pk", filter=Q(rejected__gt=0)),
        lost=Sum("rejected"),
        all=Sum("read"),
    ):
        if hour["lost"] >= rows and hour["lost"] * 100 >= hour["all"] * percent:
            counts = [hour["newest"], hour["imports"], hour["lost"], hour["all"]]
            lost.setdefault(hour["kind"], counts)
    names = ("batch", "imports", "rejected", "read")
    return tuple(
        Finding(f"feed:{kind}", {"kind": kind, **dict(zip(names, sums, strict=True))})
        for kind, sums in sorted(lost.items())
    )


def feed_stopped(watched: Watched) -> Findings:
    """Kinds of facts that came regularly and don't any more."""
    return tuple(
        Finding(
            f"feed:{feed.kind}",
            {
                "kind": feed.kind,
                "days": feed.silent_days,
                "usual": feed.usual_days,
                "last_on": feed.last_on.isoformat(),
            },
        )
        for feed in stopped_feeds(KINDS, now=watched.now, zone=watched.zone)
        if feed.silent_days >= watched.thresholds["days"]
    )


def upgrades(watched: Watched) -> Findings:
    """Programs with far more upgrades on the project's local day than on its last days with a run.

    Days before yesterday are counted once and remembered.
    """
    today = local_day(watched.project_now, watched.zone)
    days = [today - timedelta(days=back) for back in range(UPGRADE_DAYS + 1)]
    known: dict[str, dict[str, int]] = watched.memory.get("days", {})
    counts: dict[date, dict[str, int]] = {}
    for day in days:
        remembered = known.get(day.isoformat()) if day < days[1] else None
        counts[day] = _upgrades_on(day, watched.zone) if remembered is None else remembered
    watched.memory["days"] = {day.isoformat(): counts[day] for day in days[2:]}
    as_ofs = Run.objects.filter(
        status=Run.Status.PUBLISHED,
        as_of__gte=local_midnight(days[-1], watched.zone),
        as_of__lt=local_midnight(today, watched.zone),
    ).values_list("as_of", flat=True)
    run_days = sorted({local_day(as_of, watched.zone) for as_of in as_ofs})
    found = []
    for program, count in sorted(counts[today].items()):
        past = [counts[day].get(program, 0) for day in run_days]
        if is_unusually_many(count, past, **watched.thresholds):
            usual = int(median(past))
            about = {"program": program, "count": count, "usual": usual, "day": today.isoformat()}
            found.append(Finding(f"program:{program}", {**about, "label": _label(program)}))
    return tuple(found)


def _label(program: str) -> dict[str, str]:
    names = Program.objects.filter(key=program).values_list("label_en", "label_zh_hans").first()
    return dict(zip(("en", "zh-hans"), names or (program, program), strict=True))


def _upgrades_on(day: date, zone: ZoneInfo) -> dict[str, int]:
    rows = Transition.objects.filter(
        kind=Transition.Kind.UPGRADE,
        at__gte=local_midnight(day, zone),
        at__lt=local_midnight(day + timedelta(days=1), zone),
    )
    counted = rows.order_by().values(key=F("program__key")).annotate(count=Count("pk"))
    return {row["key"]: row["count"] for row in counted}


def approval_waiting(watched: Watched) -> Findings:
    """Drafts that nobody has saved, published or discarded for too long; of those alone that
    everybody may know of, because their number is told to everybody."""
    oldest = watched.now - timedelta(hours=watched.thresholds["hours"])
    drafts = visible_drafts(_Anybody()).filter(updated_at__lt=oldest).order_by("updated_at")
    saved = list(drafts.values_list("updated_at", flat=True)[:_MOST_DRAFTS])
    if not saved:
        return ()
    return (Finding("drafts", {"count": len(saved), "since": saved[0].isoformat()}),)


CONDITIONS: Mapping[str, Callable[[Watched], Findings]] = {
    AlertKind.RUN_FAILED: run_failed,
    AlertKind.RUN_HELD: run_held,
    AlertKind.RUN_LATE: run_late,
    AlertKind.RUN_MISSING: run_missing,
    AlertKind.PARITY: parity,
    AlertKind.MIRROR_LAG: mirror_lag,
    AlertKind.REJECTS: rejects,
    AlertKind.FEED_STOPPED: feed_stopped,
    AlertKind.UPGRADES: upgrades,
    AlertKind.APPROVAL_WAITING: approval_waiting,
}
