"""`POST /api/v1/<kind>/bulk`: facts in batches, by the rules of a file import."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import now, real_now
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading.place import pointer
from segmentation.models import ApiKey
from segmentation.services.importing import RowResult, record_rows
from segmentation.services.reject_words import reason_in_words

from .schema import errors
from .views import ApiView

MOST_ROWS = 5000
KINDS = ("customers", "orders", "order_lines", "refunds", "events", "referrals")


class BulkRequest(serializers.Serializer[Any]):
    """The rows, with the columns of the kind's file; a bare list of rows is accepted too."""

    rows = serializers.ListField(child=serializers.DictField(), max_length=MOST_ROWS)
    atomic = serializers.BooleanField(default=False)


class BulkRowResult(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="position in rows, from 0")
    id = serializers.CharField(allow_null=True)
    status = serializers.ChoiceField(choices=["inserted", "unchanged", "updated", "rejected"])
    code = serializers.CharField(allow_null=True, help_text="why it was rejected")
    message = serializers.CharField(allow_null=True)


class BulkResponse(serializers.Serializer[Any]):
    results = BulkRowResult(many=True)


class BulkView(ApiView):
    """Each row is recorded or rejected on its own; with `atomic` all rows or none."""

    scope = "facts:write"
    kind: ClassVar[str]

    @extend_schema(
        request=BulkRequest,
        parameters=[
            OpenApiParameter(
                "atomic", OpenApiTypes.BOOL, description="record nothing if any row is rejected"
            )
        ],
        responses={200: BulkResponse, **errors(400, 413, 415, 422)},
    )
    def post(self, request: Request) -> Response:
        batch = _batch(request)
        assert isinstance(request.auth, ApiKey)  # the scope was checked
        recorded = record_rows(
            self.kind,
            [row if isinstance(row, dict) else {} for row in batch.rows],
            actor=request.auth.name,
            zone=ZoneInfo(settings.TIME_ZONE),
            base_currency=settings.BASE_CURRENCY,
            now=now(),
            recorded_at=real_now(),
            atomic=batch.atomic,
        )
        results = [_shown(result, row=batch.rows[result.index]) for result in recorded.results]
        return Response({"results": results})


@dataclass(frozen=True, slots=True)
class _Batch:
    rows: list[Any]
    atomic: bool


def _shown(result: RowResult, *, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):  # recorded as a row without any column, so rejected
        result = replace(result, code="bad_type", message=_("A row is an object."))
    elif result.code is not None and result.message is not None:
        result = replace(result, message=reason_in_words(result.code, result.message))
    return asdict(result)


def _batch(request: Request) -> _Batch:
    """What either form of body and the query ask for; raises `invalid` with all problems."""
    body = {"rows": request.data} if isinstance(request.data, list) else request.data
    if not isinstance(body, dict):
        body = {}
    problems = [
        Problem(pointer("", name), "unknown_key", _("Write only rows and atomic."))
        for name in body
        if name not in ("rows", "atomic")
    ]
    rows = body.get("rows")
    if not isinstance(rows, list):
        problems.append(Problem("/rows", "required", _("Write a list of rows.")))
    elif len(rows) > MOST_ROWS:
        message = _("Send at most %(most)s rows at a time; these are %(count)s.")
        counts = {"most": MOST_ROWS, "count": len(rows)}
        problems.append(Problem("/rows", "too_many_rows", message % counts))
    atomic = body.get("atomic", False)
    if not isinstance(atomic, bool):
        problems.append(Problem("/atomic", "wrong_type", _("Write true or false.")))
    asked = request.query_params.get("atomic", "false")
    if asked not in ("true", "false"):
        problems.append(Problem("/atomic", "wrong_type", _("Write true or false.")))
    if problems or not isinstance(rows, list):
        raise TierwiseError(_("The batch was not read."), problems=tuple(problems))
    return _Batch(rows, atomic=atomic is True or asked == "true")


BULK_VIEWS: dict[str, type[BulkView]] = {
    kind: type(f"{kind.title().replace('_', '')}Bulk", (BulkView,), {"kind": kind})
    for kind in KINDS
}
