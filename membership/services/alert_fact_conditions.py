"""What can be wrong with facts: not taken by a run, rejected, not coming any more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Max, Q, Sum

from membership.services.home import stopped_feeds
from segmentation.models import KINDS, FactBatch

from .alert_findings import Finding, Findings, Watched

_RECENT = timedelta(hours=24)  # rejected rows of one import are news for a day
_HOUR = timedelta(hours=1)
# An import is seen after the instant it is recorded at, when its transaction ends: calls soon, big
# files late.
_OVERLAP = timedelta(minutes=5)
_WHOLE_LOOK = timedelta(minutes=10)
_MOST_IMPORTS = 200  # with rejected rows that are remembered


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
