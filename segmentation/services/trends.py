"""How the size of a segment, layer, tag value or tier went over the published runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pyroaring import BitMap

from segmentation.engine.past_sizes import past_sizes
from segmentation.models import Run, RunCount
from segmentation.permissions import Sight, Viewer, sight, visible_results, visible_segments

MOST = 366
MOST_FROM_FILES = 24
Kind = Literal["segment", "layer", "tag", "tier"]


@dataclass(frozen=True, slots=True)
class Point:
    """One published run. `entered` and `left` (since the run before) are known of segments."""

    run_id: int
    as_of: datetime
    size: int
    entered: int | None = None
    left: int | None = None


def trend(
    kind: Kind, key: str, *, viewer: Viewer, value: str | None = None, points: int = 90
) -> tuple[Point, ...]:
    """The newest `points` published runs, oldest first; () for what `viewer` may not see.

    `value` is the layer, tag value or tier. Sizes are those of the viewer's row scope: for people
    with one the sizes of layers, tag values and tiers are counted in the runs' files, at most
    MOST_FROM_FILES of them.
    """
    limit = max(1, min(points, MOST))
    seen = sight(viewer)
    if kind == "segment":
        found = _segment(key, viewer=viewer, seen=seen, limit=limit)
    elif value is None:
        raise TypeError(f"the trend of a {kind} needs a value")
    elif seen.only is None:
        found = _counted(kind, key, value, limit=limit)
    else:
        among = seen.only - seen.withdrawn.erased
        found = _from_files(kind, key, value, among=among, limit=min(limit, MOST_FROM_FILES))
    return tuple(reversed(found))


def _segment(key: str, *, viewer: Viewer, seen: Sight, limit: int) -> list[Point]:
    segment = visible_segments(viewer).filter(key=key).values("pk", "is_hidden").first()
    if segment is None:
        return []
    bitmaps: tuple[str, ...] = ()
    if seen.only is not None:
        bitmaps = ("members", "entered", "left")
    elif not seen.sees_all(is_hidden=segment["is_hidden"]):
        bitmaps = ("members",)  # who left and entered is history, also of those erased since
    rows = (
        visible_results(viewer)
        .filter(segment_id=segment["pk"], run__status=Run.Status.PUBLISHED)
        .order_by("-run__as_of", "-run_id")
        .values("run_id", "run__as_of", "size", "entered_count", "left_count", *bitmaps)
    )
    return [_point(row, seen, is_hidden=segment["is_hidden"]) for row in rows[:limit]]


def _point(row: dict[str, Any], seen: Sight, *, is_hidden: bool) -> Point:
    def counted(bitmap: str, stored: str) -> int:
        if bitmap not in row:
            return int(row[stored])
        return len(seen.members(BitMap.deserialize(bytes(row[bitmap])), is_hidden=is_hidden))

    return Point(
        run_id=row["run_id"],
        as_of=row["run__as_of"],
        size=counted("members", "size"),
        entered=counted("entered", "entered_count"),
        left=counted("left", "left_count"),
    )


def _counted(kind: Kind, key: str, value: str, *, limit: int) -> list[Point]:
    rows = (
        RunCount.objects.filter(kind=kind, key=key, value=value, run__status=Run.Status.PUBLISHED)
        .order_by("-run__as_of", "-run_id")
        .values_list("run_id", "run__as_of", "size")
    )
    return [Point(*row) for row in rows[:limit]]


def _from_files(kind: Kind, key: str, value: str, *, among: BitMap, limit: int) -> list[Point]:
    runs = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-as_of", "-pk")
    dated = dict(runs.values_list("pk", "as_of")[:limit])
    sizes = past_sizes(list(dated), kind=kind, key=key, value=value, among=among)
    return [Point(run, as_of, sizes[run]) for run, as_of in dated.items() if run in sizes]
