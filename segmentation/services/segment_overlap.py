"""How segments overlap: sizes and shared members of each two, as one person may see them.

    overlap_matrix(keys, *, run, viewer) -> OverlapMatrix

Guarantee: a count is the number of customers who are in both segments as the run published them
and whom `viewer` may see now: in the row scope, nobody erased or merged and, as soon as one of the
two is hidden, nobody who objects to personalised decisions. It is counted on the stored bitmaps
alone, so that it needs no file of the run and agrees with every list of members and its size.

Of a hidden segment no cell shows that says something about fewer than 30 people of it, those who
are in the other segment or those who are not (`analysis.suppression.is_hidden_share`, as in a
portrait). A cell depends on its own two segments only, never on what else was asked for: asking in
another way tells nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from django.utils.translation import gettext as _
from pyroaring import BitMap

from segmentation.analysis.group_figures import share_of
from segmentation.analysis.overlaps import shared_counts
from segmentation.analysis.suppression import is_hidden_share
from segmentation.domain.definitions import Label
from segmentation.domain.errors import NotFoundError, TierwiseError
from segmentation.models import Run, Segment
from segmentation.permissions import Viewer, sight, visible_results, visible_segments

from .segment_sizes import seen_sizes

VIEW_SEGMENT = "segmentation.view_segment"
MOST = 100  # segments in one matrix
Measure = Literal["count", "share", "jaccard"]


@dataclass(frozen=True, slots=True)
class OverlapSegment:
    """One segment of a matrix; `size` counts the members the viewer may see."""

    key: str
    label: Label
    size: int
    is_hidden: bool
    pk: int


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two segments: `shared` customers are in both, `first_share` and `second_share` of each and
    `jaccard` of those who are in either, from 0 to 1. All None where suppressed; a share of nobody
    is None."""

    first: OverlapSegment
    second: OverlapSegment
    shared: int | None
    first_share: Decimal | None
    second_share: Decimal | None
    jaccard: Decimal | None
    is_suppressed: bool


@dataclass(frozen=True, slots=True)
class OverlapMatrix:
    """`counts[i][j]` customers are in both `segments[i]` and `segments[j]`, in the order asked for:
    symmetric, sizes on the diagonal, None where suppressed. `not_computed`: asked for, but the run
    has no result of them."""

    run: Run
    segments: tuple[OverlapSegment, ...]
    counts: tuple[tuple[int | None, ...], ...]
    not_computed: tuple[OverlapSegment, ...]

    def share(self, row: int, column: int) -> Decimal | None:
        """Of the row's segment, who is in the column's, too: 0 to 1."""
        shared = self.counts[row][column]
        return None if shared is None else share_of(shared, self.segments[row].size)

    def jaccard(self, row: int, column: int) -> Decimal | None:
        """Of those in either segment, who is in both: 0 to 1."""
        shared = self.counts[row][column]
        if shared is None:
            return None
        sizes = self.segments[row].size, self.segments[column].size
        return share_of(shared, shared if row == column else sum(sizes) - shared)

    def overlap(self, row: int, column: int) -> Overlap:
        """One cell, with what follows from its count."""
        return Overlap(
            first=self.segments[row],
            second=self.segments[column],
            shared=self.counts[row][column],
            first_share=self.share(row, column),
            second_share=self.share(column, row),
            jaccard=self.jaccard(row, column),
            is_suppressed=self.counts[row][column] is None,
        )

    def largest(self, number: int, *, by: Measure) -> tuple[Overlap, ...]:
        """The pairs with most of a measure, first the largest: shared customers, their share of
        the smaller segment or of either; of equal ones first those that share more, then in the
        order of the matrix. Pairs that share nobody or are suppressed are left out."""
        ranked = sorted(
            (-self._rank(row, column, by), -(self.counts[row][column] or 0), row, column)
            for row in range(len(self.segments))
            for column in range(row + 1, len(self.segments))
            if self.counts[row][column]
        )
        return tuple(self.overlap(row, column) for _rank, _count, row, column in ranked[:number])

    def _rank(self, row: int, column: int, by: Measure) -> Fraction:
        shared = self.counts[row][column] or 0
        sizes = self.segments[row].size, self.segments[column].size
        whole = {"count": 1, "share": min(sizes), "jaccard": sum(sizes) - shared}[by]
        return Fraction(shared, whole)


def overlap_matrix(keys: Sequence[str], *, run: Run, viewer: Viewer) -> OverlapMatrix:
    """The overlaps of the segments `keys` at a published run, as `viewer` may see them: counts of
    customers. Repeated keys count once; of fewer than two segments there is a matrix, too.

    Raises NotFoundError alike for a segment that does not exist and for one that is hidden from
    the viewer, TierwiseError `too_many` for more than `MOST`. Under a second for 100 segments of
    a million customers.
    """
    found = _read(keys, run=run, viewer=viewer)
    return _matrix(found, run)


def shared_members(
    first: str, second: str, *, run: Run, viewer: Viewer
) -> tuple[OverlapMatrix, BitMap]:
    """The matrix of two segments, and who is in both: nobody where the count is suppressed or one
    was not computed. Raises like `overlap_matrix`."""
    found = _read([first, second], run=run, viewer=viewer)
    matrix = _matrix(found, run)
    if len(found.members) < 2 or matrix.counts[0][1] is None:
        return matrix, BitMap()
    return matrix, found.members[0] & found.members[1]


@dataclass(frozen=True, slots=True)
class _Read:
    """Segments with the members that show, and those without a result."""

    segments: tuple[OverlapSegment, ...]
    members: tuple[BitMap, ...]
    not_computed: tuple[OverlapSegment, ...]


def _read(keys: Sequence[str], *, run: Run, viewer: Viewer) -> _Read:
    asked = list(dict.fromkeys(keys))
    if len(asked) > MOST:
        message = _("At most %(number)d segments are compared at once.")
        raise TierwiseError(message % {"number": MOST}, code="too_many")
    rows = _rows(asked, viewer=viewer)
    stored = visible_results(viewer).filter(run=run, segment__in=[row.pk for row in rows])
    blobs = dict(stored.order_by().values_list("segment_id", "members"))
    seen = sight(viewer)
    members = {
        row.pk: seen.members(BitMap.deserialize(bytes(blobs[row.pk])), is_hidden=row.is_hidden)
        for row in rows
        if row.pk in blobs
    }
    return _Read(
        segments=tuple(
            _segment(row, size=len(members[row.pk])) for row in rows if row.pk in members
        ),
        members=tuple(members.values()),
        not_computed=tuple(_segment(row, size=0) for row in rows if row.pk not in members),
    )


def _matrix(found: _Read, run: Run) -> OverlapMatrix:
    counts = _shown(found.segments, shared_counts(found.members))
    return OverlapMatrix(run, found.segments, counts, found.not_computed)


def largest_segments(run: Run, *, viewer: Viewer, number: int) -> list[str]:
    """Keys of the largest segments in use that the run computed, as far as `viewer` may see them
    and their members; of equal ones the first by key."""
    if not viewer.has_perm(VIEW_SEGMENT):
        return []
    in_use = visible_segments(viewer).filter(retired_at=None)
    keys = dict(in_use.order_by().values_list("pk", "key"))
    sizes = seen_sizes(run, segments=list(keys), sight=sight(viewer))
    return [keys[pk] for pk in sorted(sizes, key=lambda pk: (-sizes[pk].size, keys[pk]))[:number]]


def _rows(keys: Sequence[str], *, viewer: Viewer) -> list[Segment]:
    """In the order of `keys`."""
    visible = visible_segments(viewer) if viewer.has_perm(VIEW_SEGMENT) else Segment.objects.none()
    found = {row.key: row for row in visible.filter(key__in=keys).defer("document")}
    if len(found) < len(keys):
        raise NotFoundError(_("There is no such group of customers."))
    return [found[key] for key in keys]


def _segment(row: Segment, *, size: int) -> OverlapSegment:
    label = Label(row.label_en or row.key, row.label_zh_hans or row.key)
    return OverlapSegment(row.key, label, size, row.is_hidden, row.pk)


def _shown(
    segments: Sequence[OverlapSegment], counts: Sequence[Sequence[int]]
) -> tuple[tuple[int | None, ...], ...]:
    """The counts without those that say too much about a hidden segment; sizes show."""
    return tuple(
        tuple(
            None
            if at != other and _tells_too_much(count, (segments[at], segments[other]))
            else count
            for other, count in enumerate(row)
        )
        for at, row in enumerate(counts)
    )


def _tells_too_much(shared: int, pair: Sequence[OverlapSegment]) -> bool:
    return any(one.is_hidden and is_hidden_share(shared, one.size) for one in pair)
