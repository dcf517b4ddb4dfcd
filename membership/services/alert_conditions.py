"""What is wrong now: one function for each kind of alert rule.

Each gives a finding for every subject that is wrong, and none for what is in order again. A finding
holds numbers, ids, keys of programs and kinds of facts, and instants; nothing in it tells that a
hidden segment exists, because alerts go to people and groups without the right to know.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, F

from membership.domain.alerts import is_unusually_many, median
from membership.models import AlertKind, Program, Transition
from segmentation.domain.windows import local_day, local_midnight
from segmentation.models import Run
from segmentation.permissions import visible_drafts

from .alert_fact_conditions import feed_stopped, mirror_lag, rejects
from .alert_findings import Finding, Findings, Watched
from .alert_run_conditions import parity, run_failed, run_held, run_late, run_missing

UPGRADE_DAYS = 28
_MOST_DRAFTS = 1000


class _Anybody:
    """Somebody without any right: what they may know of, everybody may."""

    pk = None

    def has_perm(self, perm: str, /) -> bool:
        return False


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
