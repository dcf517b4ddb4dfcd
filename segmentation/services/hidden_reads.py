"""Looks at several hidden segments at once, through the API or on a page, each written down."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from segmentation.models import AccessRecord, Segment

from .access_log import Looker


def record_hidden_reads(
    segments: Collection[Segment],
    *,
    looker: Looker,
    what: str,
    now: datetime,
    rows: int | None = None,
) -> int:
    """Write a look at each hidden one among `segments` down, in one statement; returns how many.

    `what` names the part that was read (list, members, runs, run); `now`: the real clock.
    """
    kind = AccessRecord.Kind.READ_HIDDEN
    return _record(segments, kind, looker=looker, now=now, rows=rows, details={"read": what})


def record_hidden_views(
    segments: Collection[Segment], *, looker: Looker, page: str, now: datetime
) -> int:
    """The same for a `page` of the admin that shows figures of all `segments`."""
    kind = AccessRecord.Kind.VIEW_HIDDEN
    return _record(segments, kind, looker=looker, now=now, rows=None, details={"page": page})


def _record(
    segments: Collection[Segment],
    kind: str,
    *,
    looker: Looker,
    now: datetime,
    rows: int | None,
    details: Mapping[str, Any],
) -> int:
    records = [
        AccessRecord(
            at=now,
            kind=kind,
            via=looker.via,
            user=looker.user,
            actor=looker.actor,
            subject_kind="segment",
            subject_key=segment.key,
            is_hidden=True,
            rows=rows,
            details=dict(details),
            address=looker.address,
        )
        for segment in segments
        if segment.is_hidden
    ]
    AccessRecord.objects.bulk_create(records)
    return len(records)
