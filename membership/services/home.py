"""What Home says beside tiers: segments that changed, feeds that stopped, a person's own work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib.auth.models import User
from django.db import connection

from segmentation.domain.windows import local_day, local_midnight
from segmentation.models import Draft, Job, Run, Segment
from segmentation.permissions import (
    Viewer,
    sight,
    visible_drafts,
    visible_jobs,
    visible_segments,
)
from segmentation.services.segment_sizes import seen_sizes

_FEED_DAYS = 90
_LEAST_FEED_DAYS = 4  # fewer say nothing about what is usual
_FAILED_FOR = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class SegmentChange:
    """How many members a segment has, and how many more or fewer than before."""

    segment: Segment
    size: int
    change: int


def segment_changes(
    user: Viewer, *, run: Run, before: Run | None, most: int
) -> tuple[SegmentChange, ...]:
    """The living segments this user may see that changed most between two runs, largest first.

    Sizes are of the customers this user may see now; segments that kept their size are left out.
    """
    if before is None:
        return ()
    segments = {
        row.pk: row for row in visible_segments(user).filter(retired_at=None).defer("document")
    }
    seen = sight(user)
    now, then = (seen_sizes(each, segments=list(segments), sight=seen) for each in (run, before))
    changes = [
        SegmentChange(segment, now[pk].size, now[pk].size - then[pk].size)
        for pk, segment in segments.items()
        if pk in now and pk in then
    ]
    changed = [each for each in changes if each.change]
    changed.sort(key=lambda each: (-abs(each.change), each.segment.key))
    return tuple(changed[:most])


@dataclass(frozen=True, slots=True)
class StoppedFeed:
    """A kind of fact of which nothing new came for longer than ever in the last 90 days.

    `last_on` is a local day, `usual_days` the longest wait between two days with new facts.
    """

    kind: str
    last_on: date
    silent_days: int
    usual_days: int


_DAYS_WITH_FACTS = """
SELECT kinds.kind, days.back
  FROM unnest(%(kinds)s::text[]) AS kinds(kind)
 CROSS JOIN unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[])
       WITH ORDINALITY AS days(starts, ends, back)
 WHERE EXISTS (SELECT 1 FROM segmentation_factbatch batch
                WHERE batch.kind = kinds.kind AND batch.recorded_at >= days.starts
                  AND batch.recorded_at < days.ends AND batch.inserted + batch.updated > 0)
"""


def stopped_feeds(
    kinds: Sequence[str], *, now: datetime, zone: ZoneInfo
) -> tuple[StoppedFeed, ...]:
    """Feeds that came regularly and don't any more, the longest silent first.

    `now` is the real clock's. A feed that came on fewer than four of the last 90 days has no habit
    that could be broken. One index probe a kind and day, whatever the number of batches.
    """
    today = local_day(now, zone)
    midnights = [
        local_midnight(today - timedelta(days=back), zone) for back in range(-1, _FEED_DAYS)
    ]
    values: Any = {"kinds": list(kinds), "starts": midnights[1:], "ends": midnights[:-1]}
    days: dict[str, list[int]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_DAYS_WITH_FACTS, values)
        for kind, number in cursor.fetchall():
            days.setdefault(kind, []).append(number - 1)  # days back; today is 0
    stopped = []
    for kind, backs in days.items():
        backs.sort()
        if len(backs) < _LEAST_FEED_DAYS:
            continue
        usual = max(later - sooner for sooner, later in pairwise(backs))
        silent = backs[0]
        if silent > max(usual, 1):
            stopped.append(StoppedFeed(kind, today - timedelta(days=silent), silent, usual))
    return tuple(sorted(stopped, key=lambda feed: (-feed.silent_days, feed.kind)))


def own_drafts(user: User, *, most: int) -> tuple[Draft, ...]:
    """The drafts this person saved last, newest first."""
    drafts = visible_drafts(user).filter(author=user.get_username()).defer("document")
    return tuple(drafts.order_by("-updated_at", "-pk")[:most])


def own_jobs_under_way(user: Viewer) -> int:
    """How many of the person's jobs wait or run now, at most 99: the number beside “Jobs”."""
    jobs = visible_jobs(user).filter(requested_by=user.pk)
    under_way = jobs.filter(status__in=(Job.Status.QUEUED, Job.Status.RUNNING))
    return len(under_way.values_list("pk", flat=True)[:99])


def own_jobs(user: User, *, now: datetime, most: int) -> tuple[Job, ...]:
    """The person's jobs that wait, run or failed within a week of `now` (the real clock)."""
    jobs = visible_jobs(user).filter(requested_by=user).defer("log", "result", "parameters")
    open_ones = jobs.filter(status__in=(Job.Status.QUEUED, Job.Status.RUNNING))
    failed = jobs.filter(status=Job.Status.FAILED, finished_at__gt=now - _FAILED_FOR)
    return tuple((open_ones | failed).order_by("-pk")[:most])
