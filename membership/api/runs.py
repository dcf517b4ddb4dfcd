"""`GET runs`, `runs/{id}`, `POST runs`: follow recomputes and start one."""

from __future__ import annotations

from typing import Any

from django.db.models import Q
from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse

from config.clock import now, real_now
from membership.queries import run_document
from membership.services.recompute import request_run
from segmentation.api.instants import shown_instant
from segmentation.api.pagination import PAGE_PARAMETERS, next_address, page_of
from segmentation.api.parameters import Parameters
from segmentation.api.schema import IDEMPOTENCY_KEY, PAGE, errors, pages_of
from segmentation.api.viewer import KeyViewer, key_of, looker_of, viewer_of
from segmentation.api.views import ApiView
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading.place import pointer
from segmentation.models import Run
from segmentation.permissions import (
    hidden_words,
    mentions_hidden,
    row_scope,
    sight,
    visible_segments,
)
from segmentation.services.hidden_reads import record_hidden_reads
from segmentation.services.instants import instant
from segmentation.services.request_keys import once, request_digest
from segmentation.services.run_errors import error_words
from segmentation.services.segment_sizes import seen_sizes

from .held_runs import HeldReason, decision_fields, held_rows

_HELP = "null for a key with a row scope"


class RunRequest(serializers.Serializer[Any]):
    """Both may be left out: then everything as of now."""

    as_of = serializers.CharField(
        required=False, help_text="an ISO time; without offset in the project's zone"
    )
    dry_run = serializers.BooleanField(required=False, help_text="compute, publish nothing")


class RunStarted(serializers.Serializer[Any]):
    run = serializers.IntegerField()
    as_of = serializers.DateTimeField()
    status = serializers.ChoiceField(choices=list(Run.Status.choices))


class RunRow(RunStarted):
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    customers = serializers.IntegerField(allow_null=True, help_text=_HELP)
    error = serializers.CharField(allow_null=True)
    decision = serializers.ChoiceField(
        choices=list(Run.Decision.choices),
        allow_null=True,
        help_text="what became of a held run; null while nobody decided, and of all others",
    )
    decided_by = serializers.CharField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    decision_reason = serializers.CharField(allow_null=True)
    error_code = serializers.CharField(
        allow_null=True, help_text="stable: cancelled, database, disk_full, out_of_memory ..."
    )
    attempts = serializers.IntegerField()
    next_attempt_at = serializers.DateTimeField(
        allow_null=True, help_text="while it waits after an attempt that came to nothing"
    )
    cancelled_by = serializers.CharField(allow_null=True)


class RunDetail(RunRow):
    stage = serializers.CharField(allow_null=True, help_text="what it is doing now")
    segments = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="sizes; null until it has ended",
        allow_null=True,
    )
    tags = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        allow_null=True,
        help_text=_HELP,
    )
    layers = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        allow_null=True,
        help_text=_HELP,
    )
    programs = serializers.DictField(
        child=serializers.DictField(child=serializers.IntegerField()),
        allow_null=True,
        help_text=_HELP,
    )
    seconds = serializers.DictField(child=serializers.FloatField(), allow_null=True)
    memory = serializers.DictField(
        child=serializers.IntegerField(),
        allow_null=True,
        help_text="bytes: the worker's largest resident memory per stage",
    )
    held = HeldReason(
        many=True,
        allow_null=True,
        help_text="why the run is or was held, or a dry run would be, as far as this key may know; "
        "null: it was not",
    )


_STARTED = {"run": 12, "as_of": "2018-01-01T00:00:00+08:00", "status": "queued"}
RUN_EXAMPLE: dict[str, Any] = {
    **_STARTED,
    "status": "published",
    "requested_by": "schedule",
    "requested_at": "2018-01-01T02:00:00+08:00",
    "started_at": "2018-01-01T02:00:00+08:00",
    "finished_at": "2018-01-01T02:00:09+08:00",
    "customers": 1231,
    "error": None,
    "decision": None,
    "decided_by": None,
    "decided_at": None,
    "decision_reason": None,
    "error_code": None,
    "attempts": 1,
    "next_attempt_at": None,
    "cancelled_by": None,
    "stage": None,
    "segments": {"app_users": 812},
    "tags": {"city_tier": {"first": 301, "second": 502, "third": 119}},
    "layers": {"value_layer": {"low": 700, "middle": 400, "high": 131}},
    "programs": {"gold": {"silver": 210, "gold": 41}},
    "seconds": {"mirror": 0.4, "metrics": 1.1, "postgresql": 0.3},
    "held": None,
    "memory": {"mirror": 310378496, "metrics": 512749568, "postgresql": 402653184},
}


class Runs(ApiView):
    """Recomputes."""

    scope = "runs:read"
    write_scope = "runs:write"

    @extend_schema(
        operation_id="runs",
        parameters=[
            OpenApiParameter(
                "status", OpenApiTypes.STR, enum=list(Run.Status.values), description="only these"
            ),
            *PAGE,
        ],
        responses={200: pages_of("RunPage", RunRow), **errors(422)},
    )
    def get(self, request: Request) -> Response:
        """Runs, the newest first."""
        parameters = Parameters(request, known=("status", *PAGE_PARAMETERS))
        limit, before = parameters.limit(), parameters.cursor(int)
        wanted = parameters.choice("status", list(Run.Status.values), default=None)
        parameters.check()
        rows = Run.objects.filter(
            Q() if before is None else Q(pk__lt=before[0]),
            Q() if wanted is None else Q(status=wanted),
        ).order_by("-pk")
        page = page_of(list(rows[: limit + 1]), limit=limit)
        viewer = viewer_of(request)
        words = hidden_words(viewer)
        return Response(
            {
                "next": next_address(request, page, cursor=lambda run: (run.pk,)),
                "results": [run_row(run, viewer=viewer, words=words) for run in page.rows],
            }
        )

    @extend_schema(
        operation_id="start_run",
        parameters=[IDEMPOTENCY_KEY],
        request=RunRequest,
        responses={202: RunStarted, **errors(400, 413, 415, 422)},
        examples=[
            OpenApiExample("as of a day", value={"as_of": "2018-01-01"}, request_only=True),
            OpenApiExample("queued", value=_STARTED, response_only=True),
        ],
    )
    def post(self, request: Request) -> Response:
        """Queue a recompute; follow it at the address in `Location`. The same `Idempotency-Key`
        with the same body gives the same run again, with another one 422 `idempotency_mismatch`.
        """
        Parameters(request, known=()).check()
        as_of, is_dry_run = _wanted(request.data)
        key = key_of(request)

        def act() -> str:
            run = request_run(
                as_of=now() if as_of is None else instant(as_of, path="/as_of"),
                actor=key.name,
                now=real_now(),
                is_dry_run=is_dry_run,
            )
            return f"run:{run.pk}"

        subject = once(
            key,
            key=request.headers.get("Idempotency-Key"),
            digest=request_digest(request.path, request.data),
            now=real_now(),
            act=act,
        )
        run = Run.objects.get(pk=subject.removeprefix("run:"))
        return Response(
            {"run": run.pk, "as_of": shown_instant(run.as_of), "status": run.status},
            status=status.HTTP_202_ACCEPTED,
            headers={"Location": reverse("api-run", args=[run.pk], request=request)},
        )


class OneRun(ApiView):
    """How far a run is, and what it found. Sizes of hidden segments are in it only for a key that
    may see them."""

    scope = "runs:read"

    @extend_schema(
        operation_id="run",
        parameters=[OpenApiParameter("run", OpenApiTypes.INT, OpenApiParameter.PATH)],
        responses={200: RunDetail, **errors(404, 422)},
        examples=[OpenApiExample("published", value=RUN_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, run: int) -> Response:
        Parameters(request, known=()).check()
        found = Run.objects.filter(pk=run).first() if run < 2**63 else None
        if found is None:
            raise Http404
        viewer = viewer_of(request)
        detail = _detail(found, viewer=viewer, request=request)
        return Response({**run_row(found, viewer=viewer, words=hidden_words(viewer)), **detail})


def _wanted(body: Any) -> tuple[str | None, bool]:
    """The as-of as sent and whether it is a dry run. Raises `invalid` with all problems."""
    problems: list[Problem] = []
    sent = body if isinstance(body, dict) else {}
    if not isinstance(body, dict):
        problems.append(Problem("", "wrong_type", _("Write an object.")))
    problems += [
        Problem(pointer("", str(name)), "unknown_key", _("Write only as_of and dry_run."))
        for name in sent
        if name not in ("as_of", "dry_run")
    ]
    as_of, dry_run = sent.get("as_of"), sent.get("dry_run", False)
    if as_of is not None and not isinstance(as_of, str):
        problems.append(Problem("/as_of", "wrong_type", _("Write a text.")))
    elif as_of is not None:
        try:
            instant(as_of, path="/as_of")
        except TierwiseError as error:
            problems += error.problems
    if not isinstance(dry_run, bool):
        problems.append(Problem("/dry_run", "wrong_type", _("Write true or false.")))
    if problems:
        raise TierwiseError(_("What was sent can't be used."), problems=tuple(problems))
    return as_of, dry_run


def run_row(run: Run, *, viewer: KeyViewer, words: frozenset[str]) -> dict[str, Any]:
    """A run as far as this key may know it."""
    error = error_words(run) or None
    if error is not None and mentions_hidden(error, words=words):
        error = _("Something went wrong; the run's page in the admin says what.")
    times = {
        name: None if at is None else shown_instant(at)
        for name, at in (("started_at", run.started_at), ("finished_at", run.finished_at))
    }
    return {
        "run": run.pk,
        "as_of": shown_instant(run.as_of),
        "status": run.status,
        "requested_by": run.requested_by,
        "requested_at": shown_instant(run.requested_at),
        **times,
        "customers": run.customers if row_scope(viewer) is None else None,
        "error": error,
        **decision_fields(run, words=words),
        "error_code": run.error_code or None,
        "attempts": run.attempts,
        "next_attempt_at": None
        if run.not_before is None or run.status != Run.Status.QUEUED
        else shown_instant(run.not_before),
        "cancelled_by": run.cancelled_by or None,
    }


def _detail(run: Run, *, viewer: KeyViewer, request: Request) -> dict[str, Any]:
    document = run_document(run)
    nothing = dict.fromkeys(("segments", "tags", "layers", "programs", "seconds", "memory"))
    found: dict[str, Any] = {
        "stage": run.stage or None,
        **nothing,
        "held": held_rows(run, viewer=viewer),
    }
    if "segments" not in document:
        return found
    segments = list(visible_segments(viewer).filter(key__in=document["segments"]).order_by("key"))
    keys = [segment.pk for segment in segments]
    sizes = seen_sizes(run, segments=keys, sight=sight(viewer))
    record_hidden_reads(segments, looker=looker_of(request), what="run", now=real_now())
    found["segments"] = {segment.key: sizes[segment.pk].size for segment in segments}
    found["seconds"], found["memory"] = document["seconds"], run.memory
    if row_scope(viewer) is None:  # these are counts over all stores
        found |= {name: document[name] for name in ("tags", "layers", "programs")}
    return found
