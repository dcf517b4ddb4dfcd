"""The matrix of overlaps as rows of ready cells, and its largest overlaps as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.services.segment_overlap import Measure, Overlap, OverlapMatrix, OverlapSegment

from . import shown
from .portrait_lines import NOT_SHOWN

MEASURES: Mapping[Measure, Any] = {
    "count": gettext_lazy("Customers in both"),
    "share": gettext_lazy("Share of the row's segment"),
    "jaccard": gettext_lazy("Share of either (Jaccard)"),
}
_SHADES = (1, 10, 25, 50, 75)  # per cent from which a cell is darker
_FEW = 12  # columns whose names fit beside each other


@dataclass(frozen=True)
class MatrixRow:
    """One segment and its overlaps with each; `cells` are the `td` of the row."""

    name: str
    address: str
    size: str
    is_hidden: bool
    cells: SafeString


@dataclass(frozen=True)
class MatrixTable:
    """`is_narrow`: so many columns that their names stand upright."""

    rows: tuple[MatrixRow, ...]
    is_narrow: bool


def matrix_table(matrix: OverlapMatrix, *, measure: Measure) -> MatrixTable:
    """The whole matrix; each cell but those of the diagonal leads to its two segments."""
    pair = reverse("admin:segmentation_segment_pair")
    rows = [
        MatrixRow(
            name=shown.label_in(segment.label),
            address=reverse("admin:segmentation_segment_change", args=[segment.pk]),
            size=shown.count(segment.size),
            is_hidden=segment.is_hidden,
            cells=_cells(matrix, at, measure=measure, pair=pair),
        )
        for at, segment in enumerate(matrix.segments)
    ]
    return MatrixTable(tuple(rows), len(rows) > _FEW)


def _cells(matrix: OverlapMatrix, row: int, *, measure: Measure, pair: str) -> SafeString:
    """Written without a template: a hundred segments are ten thousand cells."""
    first, not_shown = matrix.segments[row].pk, str(NOT_SHOWN)
    cells = []
    for column, segment in enumerate(matrix.segments):
        count = matrix.counts[row][column]
        text = not_shown if count is None else _figure(matrix, row, column, measure)
        if column == row:
            cells.append(format_html('<td class="tw-number tw-own">{}</td>', text))
            continue
        look = "tw-few" if count is None else f"tw-shade-{_shade(matrix, row, column, measure)}"
        cells.append(
            format_html(
                '<td class="tw-number {}"><a href="{}?first={}&amp;second={}">{}</a></td>',
                look, pair, first, segment.pk, text,
            )
        )  # fmt: skip
    return format_html_join("", "{}", ((cell,) for cell in cells))


def _figure(matrix: OverlapMatrix, row: int, column: int, measure: Measure) -> str:
    if measure == "count":
        return shown.count(matrix.counts[row][column])
    found = matrix.share(row, column) if measure == "share" else matrix.jaccard(row, column)
    return shown.ratio(found)


def _shade(matrix: OverlapMatrix, row: int, column: int, measure: Measure) -> int:
    """How dark a cell is, from 0 to 5: by its share of the row's segment, or of either."""
    shared = matrix.counts[row][column] or 0
    whole = matrix.segments[row].size
    if measure == "jaccard":
        whole += matrix.segments[column].size - shared
    return sum(shared * 100 >= edge * whole for edge in _SHADES) if whole and shared else 0


def pair_url(first: OverlapSegment, second: OverlapSegment) -> str:
    """The page of two segments."""
    query = urlencode({"first": first.pk, "second": second.pk})
    return f"{reverse('admin:segmentation_segment_pair')}?{query}"


def largest_table(overlaps: Sequence[Overlap]) -> shown.Table:
    """Overlaps that show, each leading to its two segments."""
    headers = [
        _("Segment"), _("Other segment"), _("In both"), _("Share of the segment"),
        _("Share of the other segment"), MEASURES["jaccard"],
    ]  # fmt: skip
    rows = [
        (
            shown.label_in(one.first.label),
            shown.label_in(one.second.label),
            shown.address_link(pair_url(one.first, one.second), text=shown.count(one.shared)),
            shown.ratio(one.first_share),
            shown.ratio(one.second_share),
            shown.ratio(one.jaccard),
        )
        for one in overlaps
    ]
    return shown.Table(
        _("Largest overlaps"),
        headers,
        rows,
        empty=_("No two of these segments share anybody that can be shown."),
        numeric=frozenset({2, 3, 4, 5}),
    )
