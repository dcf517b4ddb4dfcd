"""Reads of hidden segments through the API, each written down."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

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
    records = [
        AccessRecord(
            at=now,
            kind=AccessRecord.Kind.READ_HIDDEN,
            via=looker.via,
            user=looker.user,
            actor=looker.actor,
            subject_kind="segment",
            subject_key=segment.key,
            is_hidden=True,
            rows=rows,
            details={"read": what},
            address=looker.address,
        )
        for segment in segments
        if segment.is_hidden
    ]
    AccessRecord.objects.bulk_create(records)
    return len(records)
