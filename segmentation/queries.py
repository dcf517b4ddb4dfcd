"""Reads for screens, endpoints and commands."""

from __future__ import annotations

from datetime import datetime

from pyroaring import BitMap

from .domain.errors import NotFoundError
from .models import Installation, Run, SegmentResult


def installation() -> Installation | None:
    """What was fixed at set-up; None before the database is set up."""
    return Installation.objects.filter(pk=1).first()


def newest_published_run() -> Run | None:
    """The run whose results are current: newest as-of, the last made of equals."""
    return Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-as_of", "-pk").first()


def run_answering(as_of: datetime | None = None) -> Run:
    """The run that answers for an as-of: the newest not after it, the last made of equals.

    Published and historical runs answer. Raises NotFoundError when there is none.
    """
    runs = Run.objects.filter(status__in=(Run.Status.PUBLISHED, Run.Status.HISTORICAL))
    if as_of is not None:
        runs = runs.filter(as_of__lte=as_of)
    found = runs.order_by("-as_of", "-pk").first()
    if found is None:
        when = "" if as_of is None else f" at or before {as_of.isoformat()}"
        raise NotFoundError(
            f"There is no published run{when}. Make one: manage.py recompute --wait"
        )
    return found


def segment_members(run: Run, key: str) -> BitMap:
    """Members of a segment at a run, as published. Raises NotFoundError."""
    result = SegmentResult.objects.filter(run=run, segment__key=key).first()
    if result is None:
        raise NotFoundError(f"Run {run.pk} has no segment {key}.")
    return BitMap.deserialize(bytes(result.members))
