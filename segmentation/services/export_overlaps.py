"""Export of how segments overlap: one row for each two, with the counts their page shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.errors import NotFoundError
from segmentation.domain.row_numbers import row_number
from segmentation.models import Segment
from segmentation.permissions import visible_segments

from .export_basis import answering_run, run_lines
from .exporting import ExportColumn, ExportScope, ExportSource, register_source
from .segment_overlap import (
    MOST,
    VIEW_SEGMENT,
    OverlapMatrix,
    largest_segments,
    overlap_matrix,
)
from .spreadsheets import Cell, Row
from .wording import in_language


@register_source
class Overlaps(ExportSource):
    """Parameters: `segment`, row numbers (left out: the largest); `run` (left out: the newest
    published). The job keeps `keys`."""

    name = "overlap"
    title = gettext_lazy("Overlap of segments")
    permissions = (VIEW_SEGMENT,)

    def parameters_of(self, query: Mapping[str, Sequence[str]]) -> Mapping[str, Any]:
        return {"segment": list(query.get("segment", ()))}

    def pinned(self, scope: ExportScope) -> Mapping[str, Any]:
        run = answering_run(scope.parameters)
        keys = scope.parameters.get("keys")
        if keys is None:
            keys = self._keys(scope)
        overlap_matrix(keys, run=run, viewer=scope.user)  # refuses now and not in the job
        return {"keys": list(keys), "run": run.pk}

    def _keys(self, scope: ExportScope) -> list[str]:
        asked = [row_number(str(text)) for text in scope.parameters.get("segment") or ()]
        if not asked:
            run = answering_run(scope.parameters)
            return largest_segments(run, viewer=scope.user, number=MOST)
        found = visible_segments(scope.user).filter(pk__in=[pk for pk in asked if pk is not None])
        keys = dict(found.values_list("pk", "key"))
        if not set(asked) <= set(keys):
            raise NotFoundError(_("There is no such group of customers."))
        return [keys[pk] for pk in asked if pk is not None]

    def is_hidden(self, parameters: Mapping[str, Any]) -> bool:
        return bool(_hidden(parameters))

    def subjects(self, parameters: Mapping[str, Any]) -> Sequence[str]:
        return _hidden(parameters) or [self.subject(parameters)]

    def about(self, scope: ExportScope) -> str:
        number = len(scope.parameters["keys"])
        return _("%(number)s segments") % {"number": number}

    def heading(self, scope: ExportScope) -> Sequence[tuple[str, Cell]]:
        lines: list[tuple[str, Cell]] = [*run_lines(answering_run(scope.parameters))]
        if self.is_hidden(scope.parameters):
            lines.append((_("Note"), _("Cells of fewer than 30 people are left empty.")))
        return lines

    def columns(self, scope: ExportScope) -> Sequence[ExportColumn]:
        names = (
            ("first_key", _("Key")), ("first", _("Segment")), ("first_size", _("Members")),
            ("second_key", _("Other key")), ("second", _("Other segment")),
            ("second_size", _("Other members")), ("shared", _("In both")),
            ("first_share", _("Share of the segment")),
            ("second_share", _("Share of the other segment")),
            ("jaccard", _("Share of either (Jaccard)")),
        )  # fmt: skip
        return tuple(ExportColumn(name, title) for name, title in names)

    def rows(self, scope: ExportScope) -> Iterator[Row]:
        matrix = self._matrix(scope)
        for row in range(len(matrix.segments)):
            for column in range(row + 1, len(matrix.segments)):
                found = matrix.overlap(row, column)
                first, second = found.first, found.second
                yield (
                    first.key, in_language(first.label), first.size,
                    second.key, in_language(second.label), second.size,
                    found.shared, found.first_share, found.second_share, found.jaccard,
                )  # fmt: skip

    def _matrix(self, scope: ExportScope) -> OverlapMatrix:
        run = answering_run(scope.parameters)
        return overlap_matrix(scope.parameters["keys"], run=run, viewer=scope.user)


def _hidden(parameters: Mapping[str, Any]) -> list[str]:
    """The hidden segments among those asked for, as the access log names them."""
    keys, numbers = parameters.get("keys"), parameters.get("segment") or ()
    asked = {"key__in": keys} if keys is not None else {"pk__in": _numbers(numbers)}
    hidden = Segment.objects.filter(is_hidden=True, **asked).order_by("key")
    return [f"segment:{key}" for key in hidden.values_list("key", flat=True)]


def _numbers(texts: Sequence[Any]) -> list[int]:
    found = (row_number(str(text)) for text in texts)
    return [number for number in found if number is not None]
