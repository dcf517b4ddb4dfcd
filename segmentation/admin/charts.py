"""Charts of the admin: a drawing for the eye, the same figures as a table for everybody.

The figures go to the page as JSON; `charts.js` draws them. Without JavaScript the table is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext as _

from segmentation.services.trends import Point

from . import shown

Colour = Literal["main", "other", "up", "down"]


@dataclass(frozen=True)
class Series:
    """One line, or the bars of one colour; None leaves a gap."""

    name: str | Promise
    values: Sequence[Decimal | float | None]
    colour: Colour = "main"
    shape: Literal["line", "bar"] = "line"


@dataclass(frozen=True)
class Chart:
    """A drawing with its table; `name` is unique on the page."""

    name: str
    title: str | Promise
    labels: Sequence[str]
    series: Sequence[Series]
    table: shown.Table
    note: str | Promise = ""
    unit: str | Promise = ""
    empty: str | Promise = ""
    options: dict[str, Any] = field(default_factory=dict)
    is_open: bool = False  # the table

    @property
    def element(self) -> str:
        """The id of the figures on the page."""
        return f"chart-{self.name}"

    @property
    def drawing(self) -> dict[str, Any]:
        """What the script reads."""
        return {
            "labels": list(self.labels),
            "unit": str(self.unit),
            "series": [
                {
                    "name": str(one.name),
                    "values": [None if value is None else float(value) for value in one.values],
                    "colour": one.colour,
                    "shape": one.shape,
                }
                for one in self.series
            ],
            **self.options,
        }


def size_charts(
    points: Sequence[Point], *, title: str | Promise, may_see_runs: bool = False
) -> list[Chart]:
    """Size over the published runs and, where it is known, who entered and left at each. Both have
    the same table, the newest run first, leading to the runs for those who may see them."""
    moved = any(point.entered is not None for point in points)
    labels = [shown.day(point.as_of) for point in points]
    table = _points_table(points, moved=moved, may_see_runs=may_see_runs)
    sizes = Chart(
        name="trend",
        title=title,
        labels=labels,
        series=[Series(_("members"), [point.size for point in points])],
        table=table,
        empty=_("No run has computed this yet."),
    )
    if not moved:
        return [sizes]
    left = [None if point.left is None else -point.left for point in points]
    moves = Chart(
        name="moves",
        title=_("Entered and left"),
        labels=labels,
        series=[
            Series(_("entered"), [point.entered for point in points], "up", "bar"),
            Series(_("left"), left, "down", "bar"),
        ],
        table=table,
        options={"stacked": True},
    )
    return [sizes, moves]


def _points_table(points: Sequence[Point], *, moved: bool, may_see_runs: bool) -> shown.Table:
    headers = [_("as of"), _("members")]
    if moved:
        headers += [_("entered"), _("left")]
    rows = []
    for point in reversed(points):
        at: Any = shown.instant(point.as_of)
        if may_see_runs:
            at = shown.link("segmentation_run_change", args=[point.run_id], text=at)
        row: list[Any] = [at, shown.count(point.size)]
        if moved:
            row.append(shown.EMPTY if point.entered is None else shown.change(point.entered))
            row.append(shown.EMPTY if point.left is None else shown.change(-point.left))
        rows.append(row)
    return shown.Table("", headers, rows, numeric=frozenset(range(1, len(headers))))


def several_sizes_chart(
    trends: Sequence[tuple[str, Sequence[Point]]], *, title: str | Promise, name: str
) -> Chart:
    """Sizes of several groups over the same runs, a line each."""
    instants = sorted({point.as_of for _name, points in trends for point in points})
    sizes = {words: {point.as_of: point.size for point in points} for words, points in trends}
    rows = [
        [shown.instant(at), *(shown.count(sizes[words].get(at)) for words, _points in trends)]
        for at in reversed(instants)
    ]
    headers = [_("as of"), *(shown.as_written(words) for words, _points in trends)]
    return Chart(
        name=name,
        title=title,
        labels=[shown.day(at) for at in instants],
        series=[
            Series(words, [sizes[words].get(at) for at in instants]) for words, _points in trends
        ],
        table=shown.Table("", headers, rows, numeric=frozenset(range(1, len(headers)))),
        empty=_("No run has computed this yet."),
        options={"palette": True},
    )
