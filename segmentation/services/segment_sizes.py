"""Sizes of segments at a run as one person may see them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pyroaring import BitMap

from segmentation.models import Run, SegmentResult
from segmentation.permissions import Sight


@dataclass(frozen=True, slots=True)
class SeenSize:
    """Members, entered and left of one segment at one run."""

    size: int
    entered: int
    left: int


def seen_sizes(run: Run, *, segments: Collection[int], sight: Sight) -> dict[int, SeenSize]:
    """By primary key of the segments that have a result. `segments` must be visible to the viewer.

    Stored counts where they hold for this person; bitmaps are read only of the others. Who entered
    and left is history: only the row scope cuts it, as in a trend.
    """
    found: dict[int, SeenSize] = {}
    cut: list[int] = []
    stored = SegmentResult.objects.filter(run=run, segment__in=segments).order_by()
    for segment, is_hidden, *counts in stored.values_list(
        "segment_id", "segment__is_hidden", "size", "entered_count", "left_count"
    ):
        found[segment] = SeenSize(*counts)
        if not sight.sees_all(is_hidden=is_hidden):
            cut.append(segment)
    if not cut:
        return found
    bitmaps = ("members",) if sight.only is None else ("members", "entered", "left")
    for segment, is_hidden, *blobs in stored.filter(segment__in=cut).values_list(
        "segment_id", "segment__is_hidden", *bitmaps
    ):
        sizes = [
            len(sight.members(BitMap.deserialize(bytes(blob)), is_hidden=is_hidden))
            for blob in blobs
        ]
        known = found[segment]
        found[segment] = SeenSize(*sizes, *(known.entered, known.left)[: 3 - len(sizes)])
    return found
