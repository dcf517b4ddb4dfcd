"""What is current and what went wrong since: the same answer for every page and for the API (S07).

A run publishes everything or nothing, so nothing is ever emptied by one that fails: every
definition keeps the figures of the newest published run that has it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from django.db.models import Max, Q
from django.utils.translation import gettext

from segmentation.models import Run, SegmentResult
from segmentation.permissions import Viewer, hidden_words, mentions_hidden

from .run_errors import error_words


def run_in_trouble(published: Run | None) -> Run | None:
    """The newest run after the one whose results show that failed, is held, or waits to be tried
    again after a failed attempt; None when all is well. Dry runs and runs for an earlier as-of
    change no current figure, so they don't count."""
    troubled = Run.objects.filter(
        Q(status__in=(Run.Status.FAILED, Run.Status.HELD))
        | Q(status=Run.Status.QUEUED, attempts__gt=0),
        is_dry_run=False,
    )
    if published is not None:
        troubled = troubled.filter(pk__gt=published.pk, as_of__gte=published.as_of)
    return troubled.order_by("-pk").defer("log", "cuts").first()


def trouble_words(run: Run, *, viewer: Viewer) -> str | None:
    """What went wrong, as far as this person may know; None: it names something hidden."""
    if run.status == Run.Status.HELD:
        return gettext("It is held: somebody must decide.")
    text = error_words(run)
    return None if mentions_hidden(text, words=hidden_words(viewer)) else text


def last_good_as_ofs(segments: Collection[int]) -> dict[int, datetime]:
    """The as-of of the newest published run that has each segment; without one it is left out."""
    rows = (
        SegmentResult.objects.filter(segment_id__in=segments, run__status=Run.Status.PUBLISHED)
        .values("segment_id")
        .annotate(newest=Max("run__as_of"))
        .values_list("segment_id", "newest")
    )
    return dict(rows)
