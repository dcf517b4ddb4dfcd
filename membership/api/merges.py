"""`POST customers/{id}/merge`: two ids are one person; `GET merges/{merge}` and its undo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import now, real_now
from membership.services.merge_jobs import MERGE, request_merge, request_undo
from segmentation.api.instants import shown_instant
from segmentation.api.parameters import Parameters
from segmentation.api.privacy import visible_customer
from segmentation.api.schema import CUSTOMER_ID, IDEMPOTENCY_KEY, errors
from segmentation.api.viewer import key_of, looker_of, viewer_of
from segmentation.api.views import ApiView
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading.place import pointer
from segmentation.models import Customer, CustomerMerge, Job
from segmentation.permissions import row_scope, visible_merges
from segmentation.services.request_keys import once, request_digest

_LONGEST = 1000
_MERGE_ID = OpenApiParameter("merge", OpenApiTypes.INT, OpenApiParameter.PATH)


class MergeWish(serializers.Serializer[Any]):
    into = serializers.CharField(
        help_text="the id that stays; that of the address becomes an alias"
    )
    reason = serializers.CharField(max_length=_LONGEST)


class UndoWish(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=_LONGEST)


class MergeState(serializers.Serializer[Any]):
    merge = serializers.IntegerField()
    status = serializers.ChoiceField(choices=["pending", "done", "undone", "failed"])
    merged = serializers.CharField(allow_null=True, help_text="null until it is done")
    into = serializers.CharField(allow_null=True)
    merged_at = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True, help_text="it can be undone before")
    undone_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_null=True, help_text="the code, when it failed")


_PENDING = {
    "merge": 17, "status": "pending", "merged": None, "into": None, "merged_at": None,
    "until": None, "undone_at": None, "error": None,
}  # fmt: skip
_DONE = {
    **_PENDING, "status": "done", "merged": "C1002", "into": "C1001",
    "merged_at": "2018-01-01T10:00:00+08:00", "until": "2018-01-31T10:00:00+08:00",
}  # fmt: skip


class CustomerMerging(ApiView):
    """The customer becomes an alias of another one: facts, tags, lists and the better tiers go
    over, facts sent under the old id later as well, and the old id is answered with 404 `merged`.

    Asked for, done within a minute; `merges/{merge}` tells when.
    """

    scope = "customers:write"

    @extend_schema(
        operation_id="customer_merge",
        parameters=[CUSTOMER_ID, IDEMPOTENCY_KEY],
        request=MergeWish,
        responses={202: MergeState, **errors(400, 404, 413, 415, 422)},
        examples=[
            OpenApiExample(
                "merge", value={"into": "C1001", "reason": "same phone"}, request_only=True
            ),
            OpenApiExample("pending", value=_PENDING, response_only=True),
        ],
    )
    def post(self, request: Request, customer_id: str) -> Response:
        sent = _texts(request.data, ("into", "reason"))

        def act() -> str:
            # Looked for when it is asked for: the same key again is answered when it is done, too.
            merged = visible_customer(request, customer_id)
            job = request_merge(
                _named(request, sent["into"]),
                merged,
                reason=sent["reason"],
                digest=None,
                looker=looker_of(request),
                now=real_now(),
                project_now=now(),
            )
            return f"job:{job.pk}"

        return _accepted(request, act)


class OneMerge(ApiView):
    """How far a merge is."""

    scope = "customers:write"

    @extend_schema(
        operation_id="merge",
        parameters=[_MERGE_ID],
        responses={200: MergeState, **errors(404, 422)},
        examples=[OpenApiExample("done", value=_DONE, response_only=True)],
    )
    def get(self, request: Request, merge: int) -> Response:
        Parameters(request, known=()).check()
        return Response(_state(*_visible(request, merge)))


class MergeUndo(ApiView):
    """Both customers are there again, with what came since under either id. For 30 days."""

    scope = "customers:write"

    @extend_schema(
        operation_id="merge_undo",
        parameters=[_MERGE_ID, IDEMPOTENCY_KEY],
        request=UndoWish,
        responses={202: MergeState, **errors(400, 404, 413, 415, 422)},
        examples=[
            OpenApiExample("undo", value={"reason": "two people"}, request_only=True),
            OpenApiExample("accepted", value=_DONE, response_only=True),
        ],
    )
    def post(self, request: Request, merge: int) -> Response:
        job, found = _visible(request, merge)
        if found is None:
            raise Http404
        sent = _texts(request.data, ("reason",))

        def act() -> str:
            request_undo(
                found,
                reason=sent["reason"],
                looker=looker_of(request),
                now=real_now(),
                project_now=now(),
            )
            return f"job:{job.pk}"

        return _accepted(request, act)


def _accepted(request: Request, act: Any) -> Response:
    came = once(
        key_of(request),
        key=request.headers.get("Idempotency-Key"),
        digest=request_digest(request.path, request.data),
        now=real_now(),
        act=act,
    )
    job = Job.objects.get(pk=int(came.removeprefix("job:")))
    found = CustomerMerge.objects.filter(job=job).select_related("survivor", "merged").first()
    return Response(_state(job, found), status=status.HTTP_202_ACCEPTED)


def _visible(request: Request, merge: int) -> tuple[Job, CustomerMerge | None]:
    """A merge by the number of its job. A key with a row scope knows those of its customers and
    those it asked for itself."""
    job = Job.objects.filter(pk=merge, kind=MERGE).first()
    if job is None:
        raise Http404
    viewer = viewer_of(request)
    merges = CustomerMerge.objects.filter(job=job).select_related("survivor", "merged")
    found = merges.first()
    is_own = job.requested_by_id is None and job.actor == key_of(request).name
    if row_scope(viewer) is not None and not is_own:
        seen = visible_merges(viewer).filter(job=job).exists()
        if not seen:
            raise Http404
    return job, found


def _named(request: Request, customer_id: str) -> Customer:
    try:
        return visible_customer(request, customer_id)
    except Http404:
        message = _("There is no such customer.")
        problem = Problem("/into", "unknown_customer", message)
        raise TierwiseError(message, problems=(problem,)) from None


def _texts(body: Any, names: tuple[str, ...]) -> dict[str, str]:
    """What was sent. Raises `invalid` with all problems."""
    sent = body if isinstance(body, dict) else {}
    problems = [
        Problem(pointer("", str(name)), "unknown_key",
                _("Write only: %(known)s.") % {"known": ", ".join(names)})
        for name in sent
        if name not in names
    ]  # fmt: skip
    for name in names:
        value = sent.get(name)
        if value is None or (isinstance(value, str) and not value.strip()):
            problems.append(Problem(f"/{name}", "required", _("Write a text.")))
        elif not isinstance(value, str):
            problems.append(Problem(f"/{name}", "wrong_type", _("Write a text.")))
        elif len(value) > _LONGEST or "\x00" in value:
            problems.append(
                Problem(f"/{name}", "too_long", _("At most %(most)s signs.") % {"most": _LONGEST})
            )
    if problems:
        raise TierwiseError(_("What was sent can't be used."), problems=tuple(problems))
    return {name: sent[name] for name in names}


def _state(job: Job, merge: CustomerMerge | None) -> Mapping[str, Any]:
    # After an undo one of the two may be erased alone.
    known = merge is not None and not (merge.survivor.erased_at or merge.merged.erased_at)
    times = {
        name: None if merge is None else getattr(merge, name)
        for name in ("merged_at", "until", "undone_at")
    }
    state = "pending"
    if merge is not None:
        state = "done" if merge.undone_at is None else "undone"
    elif job.status in (Job.Status.FAILED, Job.Status.CANCELLED):
        state = "failed"
    return {
        "merge": job.pk,
        "status": state,
        "merged": merge.merged.external_id if merge is not None and known else None,
        "into": merge.survivor.external_id if merge is not None and known else None,
        **{name: None if at is None else shown_instant(at) for name, at in times.items()},
        "error": (job.error or {}).get("code"),
    }
