"""`GET transitions`: who entered, rose, was renewed, fell or left, for systems that follow."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from membership.models import InstantBatch, Transition
from segmentation.api.pagination import PAGE_PARAMETERS, next_address, page_of
from segmentation.api.parameters import Parameters, is_whole
from segmentation.api.schema import PAGE, errors, pages_of
from segmentation.api.viewer import viewer_of
from segmentation.api.views import ApiView
from segmentation.models import Run
from segmentation.permissions import of_visible_customers

_ID = {
    "id": 4711,
    "customer_id": "C1001",
    "program": "gold",
    "kind": "upgrade",
    "from_tier": "silver",
    "to_tier": "gold",
    "at": "2018-01-01T00:00:00+08:00",
    "since": "2018-01-01T00:00:00+08:00",
    "until": "2019-01-01T00:00:00+08:00",
    "grace_until": None,
    "reasons": ["qualifies_higher"],
    "values": {"net_spend_365d": "10230.50"},
    "run": 12,
    "between_runs": False,
}


class TransitionRow(serializers.Serializer[Any]):
    id = serializers.IntegerField(help_text="rises from publication to publication")
    customer_id = serializers.CharField()
    program = serializers.CharField()
    kind = serializers.ChoiceField(choices=list(Transition.Kind.choices))
    from_tier = serializers.CharField(allow_null=True)
    to_tier = serializers.CharField(allow_null=True)
    at = serializers.DateTimeField(help_text="the as-of at which it was decided")
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    grace_until = serializers.DateTimeField(allow_null=True)
    reasons = serializers.ListField(child=serializers.CharField())
    values = serializers.DictField(
        child=serializers.CharField(allow_null=True), help_text="the metrics that decided"
    )
    run = serializers.IntegerField(
        help_text="which decided, or, between runs, whose definitions decided"
    )
    between_runs = serializers.BooleanField(help_text="decided at once, on facts from the API")


class Transitions(ApiView):
    """Decisions about memberships, the oldest first.

    To follow: start with `since` an instant (or without), then send the `since` of the last answer
    as `since` of the next request, for ever. No row is lost and none comes twice: ids rise in the
    order in which runs and batches between runs appear, because only one writes at a time and all
    its rows appear together. `since` an instant begins with the runs and batches of that as-of or
    later; a whole number begins behind the row of that id.
    """

    scope = "members:read"

    @extend_schema(
        operation_id="transitions",
        parameters=[
            OpenApiParameter(
                "since",
                OpenApiTypes.STR,
                description="the `since` of the last answer, or an ISO time",
            ),
            OpenApiParameter("program", OpenApiTypes.STR, description="only of this program"),
            *PAGE,
        ],
        responses={
            200: pages_of(
                "TransitionPage",
                TransitionRow,
                since=serializers.CharField(
                    allow_null=True, help_text="send it back to get what comes after"
                ),
            ),
            **errors(422),
        },
        examples=[
            OpenApiExample(
                "transitions",
                value={"next": None, "since": "4711", "results": [_ID]},
                response_only=True,
            )
        ],
    )
    def get(self, request: Request) -> Response:
        parameters = Parameters(request, known=("since", "program", *PAGE_PARAMETERS))
        limit, after = parameters.limit(), parameters.cursor(int)
        since, program = parameters.text("since"), parameters.text("program")
        begin = _begin(parameters, since)
        parameters.check()
        rows = of_visible_customers(Transition.objects.all(), user=viewer_of(request))
        if program is not None:
            rows = rows.filter(program__key=program)
        if after is not None:
            rows = rows.filter(pk__gt=after[0])
        elif begin is not None:
            rows = _from(rows, begin)
        found = rows.select_related("customer", "program").order_by("pk")
        page = page_of(list(found[: limit + 1]), limit=limit)
        last = str(page.rows[-1].pk) if page.rows else str(after[0]) if after else since
        return Response(
            {
                "next": next_address(request, page, cursor=lambda row: (row.pk,)),
                "since": last,
                "results": [_document(row) for row in page.rows],
            }
        )


def _begin(parameters: Parameters, since: str | None) -> int | datetime | None:
    if since is None:
        return None
    if is_whole(since):
        return int(since)
    if since.isdigit():
        parameters.refuse("since", "wrong_type", _("Send the since of an answer, or an ISO time."))
        return None
    return parameters.instant("since")


def _from(rows: QuerySet[Transition], begin: int | datetime) -> QuerySet[Transition]:
    if isinstance(begin, int):
        return rows.filter(pk__gt=begin)
    # Through the runs, which are few: there is no index on the instant over all programs.
    runs = Run.objects.filter(status=Run.Status.PUBLISHED, as_of__gte=begin)
    batches = InstantBatch.objects.filter(as_of__gte=begin)
    decided = Q(instant_batch=None, run__in=runs.values("pk"))
    return rows.filter(decided | Q(instant_batch__in=batches.values("pk")))


def _document(row: Transition) -> dict[str, Any]:
    zone = ZoneInfo(row.program.timezone)

    def local(instant: datetime | None) -> str | None:
        return None if instant is None else instant.astimezone(zone).isoformat()

    return {
        "id": row.pk,
        "customer_id": row.customer.external_id,
        "program": row.program.key,
        "kind": row.kind,
        "from_tier": row.from_tier or None,
        "to_tier": row.to_tier or None,
        "at": local(row.at),
        "since": local(row.since),
        "until": local(row.until),
        "grace_until": local(row.grace_until),
        "reasons": row.reasons,
        "values": row.values,
        "run": row.run_id,
        "between_runs": row.instant_batch_id is not None,
    }
