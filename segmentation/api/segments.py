"""`GET segments`, their members and their runs. A hidden one is 404 and in no count for others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from pyroaring import BitMap
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import real_now
from segmentation.domain.errors import NotFoundError
from segmentation.models import Customer, Run, Segment, SegmentResult
from segmentation.permissions import Sight, Viewer, sight, visible_segments
from segmentation.queries import newest_published_run, run_answering
from segmentation.services.cards import note_use
from segmentation.services.hidden_reads import record_hidden_reads
from segmentation.services.run_standing import last_good_as_ofs, run_in_trouble, trouble_words
from segmentation.services.segment_sizes import SeenSize, seen_sizes

from .instants import shown_instant
from .labels import row_label
from .pagination import PAGE_PARAMETERS, Page, next_address, page_of
from .parameters import Parameters
from .schema import LANGUAGE, PAGE, errors, key_parameter, pages_of
from .trouble import RunTrouble, shown_trouble
from .viewer import looker_of, viewer_of
from .views import ApiView

ANSWERING = (Run.Status.PUBLISHED, Run.Status.HISTORICAL)
PARTS = ("members", "entered", "left")


class LastError(RunTrouble):
    """The newest run that failed, is held, or is being tried again, after the one whose results
    show."""

    message = serializers.CharField()


class SegmentRow(serializers.Serializer[Any]):
    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    purpose = serializers.CharField()
    visibility = serializers.ChoiceField(choices=["internal", "hidden"])
    version = serializers.IntegerField()
    size = serializers.IntegerField(
        allow_null=True, help_text="members this key may see; null before the first run"
    )
    run = serializers.IntegerField(allow_null=True)
    as_of = serializers.DateTimeField(allow_null=True)
    last_good_as_of = serializers.DateTimeField(
        allow_null=True, help_text="of the newest published run that has the segment"
    )
    last_error = LastError(allow_null=True, help_text="null when all is well")


class MemberRow(serializers.Serializer[Any]):
    customer_id = serializers.CharField()


class SegmentRunRow(serializers.Serializer[Any]):
    run = serializers.IntegerField()
    as_of = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=list(ANSWERING))
    size = serializers.IntegerField()
    entered = serializers.IntegerField(help_text="who was not a member in the run before")
    left = serializers.IntegerField(help_text="who was a member in the run before")


_MEMBERS_EXAMPLE = {
    "next": None,
    "segment": "app_users",
    "run": 12,
    "as_of": "2018-01-01T00:00:00+08:00",
    "part": "members",
    "size": 2,
    "results": [{"customer_id": "C1001"}, {"customer_id": "C1002"}],
}


class Segments(ApiView):
    """The living segments by key, with their size at the newest published run."""

    scope = "segments:read"

    @extend_schema(
        operation_id="segments",
        parameters=[*PAGE, LANGUAGE],
        responses={200: pages_of("SegmentPage", SegmentRow), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        parameters = Parameters(request, known=PAGE_PARAMETERS)
        limit, after = parameters.limit(), parameters.cursor(str)
        parameters.check()
        viewer = viewer_of(request)
        rows = visible_segments(viewer).filter(retired_at=None).order_by("key")
        if after is not None:
            rows = rows.filter(key__gt=after[0])
        page = page_of(list(rows[: limit + 1]), limit=limit)
        run = newest_published_run()
        keys = [row.pk for row in page.rows]
        sizes = {} if run is None else seen_sizes(run, segments=keys, sight=sight(viewer))
        good = last_good_as_ofs([key for key in keys if key not in sizes])
        if run is not None:
            good |= dict.fromkeys(sizes, run.as_of)
        trouble = last_error(run, viewer=viewer)
        record_hidden_reads(page.rows, looker=looker_of(request), what="list", now=real_now())
        return Response(
            {
                "next": next_address(request, page, cursor=lambda row: (row.key,)),
                "results": [
                    _row(row, run=run, seen=sizes.get(row.pk), good=good.get(row.pk))
                    | {"last_error": trouble}
                    for row in page.rows
                ],
            }
        )


class SegmentMembers(ApiView):
    """The members at a run, in the order in which customers were first recorded.

    All pages are of one run, whatever is published meanwhile. `part=entered` and `part=left` are
    the differences to the run before, so that a copy elsewhere can follow.
    """

    scope = "segments:read"

    @extend_schema(
        operation_id="segment_members",
        parameters=[
            key_parameter(),
            OpenApiParameter(
                "as_of",
                OpenApiTypes.STR,
                description="an ISO time: the newest run not after it; left out: the newest run",
            ),
            OpenApiParameter("part", OpenApiTypes.STR, enum=PARTS, default="members"),
            *PAGE,
        ],
        responses={
            200: pages_of(
                "MemberPage",
                MemberRow,
                segment=serializers.CharField(),
                run=serializers.IntegerField(),
                as_of=serializers.DateTimeField(),
                part=serializers.ChoiceField(choices=list(PARTS)),
                size=serializers.IntegerField(help_text="of all pages, as this key may see it"),
            ),
            **errors(404, 422),
        },
        examples=[OpenApiExample("members", value=_MEMBERS_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, key: str) -> Response:
        segment = _segment(request, key)
        parameters = Parameters(request, known=("as_of", "part", *PAGE_PARAMETERS))
        as_of, limit = parameters.instant("as_of"), parameters.limit()
        part = parameters.choice("part", PARTS, default="members") or "members"
        start = parameters.cursor(int, int)
        parameters.check()
        result = _result(segment, as_of=as_of, run_id=None if start is None else start[0])
        stored = BitMap.deserialize(bytes(getattr(result, part)))
        members = sight(viewer_of(request)).members(stored, is_hidden=segment.is_hidden)
        page = _ordinals(members, after=None if start is None else start[1], limit=limit)
        names = Customer.objects.filter(ordinal__in=page.rows).order_by("ordinal")
        note_use("segment", segment.key, now=real_now())
        record_hidden_reads(
            [segment], looker=looker_of(request), what=part, now=real_now(), rows=len(page.rows)
        )
        return Response(
            {
                "next": next_address(request, page, cursor=lambda last: (result.run_id, last)),
                "segment": segment.key,
                "run": result.run_id,
                "as_of": shown_instant(result.run.as_of),
                "part": part,
                "size": len(members),
                "results": [
                    {"customer_id": name} for name in names.values_list("external_id", flat=True)
                ],
            }
        )


class SegmentRuns(ApiView):
    """What each run found about the segment, the newest first."""

    scope = "segments:read"

    @extend_schema(
        operation_id="segment_runs",
        parameters=[key_parameter(), *PAGE],
        responses={200: pages_of("SegmentRunPage", SegmentRunRow), **errors(404, 422)},
    )
    def get(self, request: Request, key: str) -> Response:
        segment = _segment(request, key)
        parameters = Parameters(request, known=PAGE_PARAMETERS)
        limit, before = parameters.limit(), parameters.cursor(int)
        parameters.check()
        rows = SegmentResult.objects.filter(segment=segment, run__status__in=ANSWERING)
        if before is not None:
            rows = rows.filter(pk__lt=before[0])
        seen = sight(viewer_of(request))
        if seen.sees_all(is_hidden=segment.is_hidden):
            rows = rows.defer("members", "entered", "left")
        found = list(rows.select_related("run").order_by("-pk")[: limit + 1])
        page = page_of(found, limit=limit)
        record_hidden_reads([segment], looker=looker_of(request), what="runs", now=real_now())
        return Response(
            {
                "next": next_address(request, page, cursor=lambda row: (row.pk,)),
                "results": [
                    _run_row(row, seen=seen, is_hidden=segment.is_hidden) for row in page.rows
                ],
            }
        )


def _segment(request: Request, key: str) -> Segment:
    found = visible_segments(viewer_of(request)).filter(key=key.replace("\x00", "")).first()
    if found is None or found.key != key:
        raise Http404
    return found


def _result(segment: Segment, *, as_of: datetime | None, run_id: int | None) -> SegmentResult:
    """What a run found: the one a cursor names, else the one that answers for `as_of`."""
    wanted = run_id if run_id is not None else run_answering(as_of).pk
    found = SegmentResult.objects.filter(
        run_id=wanted, segment=segment, run__status__in=ANSWERING
    ).select_related("run")
    result = found.first()
    if result is None:
        raise NotFoundError(_("The run has not looked at this segment."))
    return result


def _ordinals(members: BitMap, *, after: int | None, limit: int) -> Page[int]:
    # `rank` counts the positions up to one: the page is a slice, however large the bitmap.
    start = 0 if after is None else members.rank(min(after, 2**32 - 1))
    return page_of(list(members[start : start + limit + 1]), limit=limit)


def last_error(published: Run | None, *, viewer: Viewer) -> dict[str, Any] | None:
    """What went wrong since the run whose results show."""
    run = run_in_trouble(published)
    if run is None:
        return None
    words = trouble_words(run, viewer=viewer) or _("The run's page in the admin says what.")
    return {**shown_trouble(run), "message": words}


def _row(
    segment: Segment, *, run: Run | None, seen: SeenSize | None, good: datetime | None
) -> dict[str, Any]:
    known = run if seen is not None else None
    return {
        "key": segment.key,
        "label": row_label(segment),
        "purpose": segment.document.get("purpose", ""),
        "visibility": "hidden" if segment.is_hidden else "internal",
        "version": segment.version,
        "size": None if seen is None else seen.size,
        "run": None if known is None else known.pk,
        "as_of": None if known is None else shown_instant(known.as_of),
        "last_good_as_of": None if good is None else shown_instant(good),
    }


def _run_row(row: SegmentResult, *, seen: Sight, is_hidden: bool) -> dict[str, Any]:
    sizes = {"size": row.size, "entered": row.entered_count, "left": row.left_count}
    if not seen.sees_all(is_hidden=is_hidden):
        bitmaps = {"size": row.members, "entered": row.entered, "left": row.left}
        sizes = {
            name: len(seen.members(BitMap.deserialize(bytes(stored)), is_hidden=is_hidden))
            for name, stored in bitmaps.items()
        }
    return {
        "run": row.run_id,
        "as_of": shown_instant(row.run.as_of),
        "status": row.run.status,
        **sizes,
    }
