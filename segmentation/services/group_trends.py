"""Trends of all values of a tag group, layering or program together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from segmentation.models import Run, RunCount
from segmentation.permissions import Viewer, row_scope

from .trends import Point, trend

_SCOPED_POINTS = 12  # counted in the files of each run


def value_trends(
    kind: Literal["tag", "layer", "tier"],
    key: str,
    *,
    values: Sequence[str],
    viewer: Viewer,
    points: int = 90,
) -> dict[str, tuple[Point, ...]]:
    """The trend of each value, oldest first: two queries for people without a row scope."""
    if row_scope(viewer) is not None:
        least = min(points, _SCOPED_POINTS)
        return {
            value: trend(kind, key, value=value, viewer=viewer, points=least) for value in values
        }
    runs = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-as_of", "-pk")
    dated = dict(runs.values_list("pk", "as_of")[:points])
    found: dict[str, dict[int, Point]] = {value: {} for value in values}
    counted = RunCount.objects.filter(kind=kind, key=key, run__in=list(dated))
    for run, value, size in counted.values_list("run_id", "value", "size"):
        if value in found:
            found[value][run] = Point(run, dated[run], size)
    oldest_first = list(reversed(dated))
    return {
        value: tuple(of_value[run] for run in oldest_first if run in of_value)
        for value, of_value in found.items()
    }
