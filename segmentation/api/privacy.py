"""`POST customers/{id}/privacy`: a customer's wish about their data, answered with a receipt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import real_now
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading.place import pointer
from segmentation.models import AccessRecord, Customer, Job, PrivacyRequest
from segmentation.permissions import row_scope, visible_customers
from segmentation.services import privacy
from segmentation.services.access_log import record_access
from segmentation.services.jobs import job_folder
from segmentation.services.request_keys import once, request_digest

from .instants import shown_instant
from .parameters import Parameters
from .schema import CUSTOMER_ID, IDEMPOTENCY_KEY, errors
from .viewer import key_of, looker_of, viewer_of
from .views import ApiView

KINDS = tuple(str(kind) for kind in PrivacyRequest.Kind.values)
_LATER = (PrivacyRequest.Kind.EXPORT, PrivacyRequest.Kind.ERASE)


@dataclass(frozen=True, slots=True)
class _Wish:
    kind: PrivacyRequest.Kind
    confirm: str


class PrivacyWish(serializers.Serializer[Any]):
    """What the customer wants."""

    kind = serializers.ChoiceField(
        choices=list(PrivacyRequest.Kind.choices),
        help_text="object: to personalised decisions; allow: take the objection back",
    )
    confirm = serializers.CharField(
        required=False, help_text="erase only, and then required: the customer's id once more"
    )


class Receipt(serializers.Serializer[Any]):
    receipt = serializers.CharField()
    kind = serializers.ChoiceField(choices=list(PrivacyRequest.Kind.choices))
    status = serializers.ChoiceField(choices=["done", "pending", "failed"])
    requested_at = serializers.DateTimeField()
    done_at = serializers.DateTimeField(allow_null=True)


_RECEIPT = {
    "receipt": "pr_5f0c1d8e2b7a49d6a3e1c4b5d6f70819",
    "kind": "object",
    "status": "done",
    "requested_at": "2018-01-01T10:00:00+08:00",
    "done_at": "2018-01-01T10:00:00+08:00",
}
_PENDING = {**_RECEIPT, "kind": "erase", "status": "pending", "done_at": None}


class CustomerPrivacy(ApiView):
    """Object to personalised decisions, take that back, withdraw consent: done at once. Export
    and erase: asked for, done within minutes; the receipt tells when.

    An objection takes the customer out of every answer about a hidden segment at once. After an
    erasure the customer is unknown here: 404.
    """

    scope = "customers:write"

    @extend_schema(
        operation_id="customer_privacy",
        parameters=[CUSTOMER_ID, IDEMPOTENCY_KEY],
        request=PrivacyWish,
        responses={200: Receipt, 202: Receipt, **errors(400, 404, 413, 415, 422)},
        examples=[
            OpenApiExample("object", value={"kind": "object"}, request_only=True),
            OpenApiExample("erase", value={"kind": "erase", "confirm": "C1001"}, request_only=True),
            OpenApiExample("done", value=_RECEIPT, response_only=True, status_codes=["200"]),
            OpenApiExample("pending", value=_PENDING, response_only=True, status_codes=["202"]),
        ],
    )
    def post(self, request: Request, customer_id: str) -> Response:
        customer = visible_customer(request, customer_id)
        wish = _wish(request.data)
        by = privacy.Bringer(actor=key_of(request).name, via=AccessRecord.Via.API)
        now = real_now()

        def act() -> str:
            return _do(wish, customer, by=by).receipt

        receipt = once(
            key_of(request),
            key=request.headers.get("Idempotency-Key"),
            digest=request_digest(request.path, request.data),
            now=now,
            act=act,
        )
        found = privacy.find_receipt(receipt)
        code = status.HTTP_202_ACCEPTED if found.kind in _LATER else status.HTTP_200_OK
        return Response(_document(found), status=code)


class PrivacyReceipt(ApiView):
    """How far a request is. A receipt outlives the person it is about."""

    scope = "customers:write"

    @extend_schema(
        operation_id="privacy_receipt",
        parameters=[OpenApiParameter("receipt", OpenApiTypes.STR, OpenApiParameter.PATH)],
        responses={200: Receipt, **errors(404, 422)},
        examples=[OpenApiExample("done", value=_RECEIPT, response_only=True)],
    )
    def get(self, request: Request, receipt: str) -> Response:
        Parameters(request, known=()).check()
        return Response(_document(_visible_receipt(request, receipt)))


class PrivacyExport(ApiView):
    """The file of an export: what is recorded about the customer and promised to them.

    It names no internal grouping (docs/adr). 404 until it is made and 30 days after; each reading
    is written down.
    """

    scope = "customers:write"

    @extend_schema(
        operation_id="privacy_export",
        parameters=[OpenApiParameter("receipt", OpenApiTypes.STR, OpenApiParameter.PATH)],
        responses={200: OpenApiTypes.OBJECT, **errors(404, 422)},
    )
    def get(self, request: Request, receipt: str) -> Response:
        Parameters(request, known=()).check()
        found = _visible_receipt(request, receipt)
        job = privacy.job_of(found)
        if found.kind != PrivacyRequest.Kind.EXPORT or privacy.is_erased(found) or job is None:
            raise Http404
        path = job_folder(job.pk) / "result"
        if found.done_at is None or not path.is_file():
            raise Http404
        record_access(
            AccessRecord.Kind.PRIVACY_EXPORT,
            looker=looker_of(request),
            subject=f"customer:{found.customer_ref}",
            now=real_now(),
            rows=1,
            details={"receipt": found.receipt},
        )
        return Response(json.loads(path.read_text("utf-8")))


def visible_customer(request: Request, customer_id: str) -> Customer:
    """The customer, if this key may know of them: 404 for an unknown, another store's, an erased.

    An id that was merged is 404 `merged`, and the details name the id of the customer. No stored
    text holds a NUL, and PostgreSQL refuses to look for one.
    """
    found = None
    if "\x00" not in customer_id:
        rows = visible_customers(viewer_of(request)).filter(external_id=customer_id)
        found = rows.first()
        if found is None:
            _refuse_merged(request, customer_id)
    if found is None:
        raise Http404
    return found


def _refuse_merged(request: Request, customer_id: str) -> None:
    rows = visible_customers(viewer_of(request)).filter(aliases__external_id=customer_id)
    survivor = rows.values_list("external_id", flat=True).first()
    if survivor is None:
        return
    message = _("This ID was merged into another customer.")
    problem = Problem("/customer_id", "merged_into", survivor)
    raise TierwiseError(message, code="merged", problems=(problem,))


def _wish(body: Any) -> _Wish:
    """What was asked for. Raises `invalid` with all problems."""
    sent = body if isinstance(body, dict) else {}
    problems = [
        Problem(pointer("", str(name)), "unknown_key", _("Write only kind and confirm."))
        for name in sent
        if name not in ("kind", "confirm")
    ]
    kind = sent.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        code = "required" if kind is None else "unknown_value"
        words = _("Write one of: %(known)s.") % {"known": ", ".join(KINDS)}
        problems.append(Problem("/kind", code, words))
    confirm = sent.get("confirm", "")
    if not isinstance(confirm, str):
        problems.append(Problem("/confirm", "wrong_type", _("Write a text.")))
    elif "confirm" in sent and kind in KINDS and kind != PrivacyRequest.Kind.ERASE:
        problems.append(Problem("/confirm", "not_needed", _("Only an erasure is confirmed.")))
    if problems or not isinstance(kind, str):
        raise TierwiseError(_("What was sent can't be used."), problems=tuple(problems))
    return _Wish(PrivacyRequest.Kind(kind), confirm)


def _do(wish: _Wish, customer: Customer, *, by: privacy.Bringer) -> PrivacyRequest:
    now = real_now()
    if wish.kind == PrivacyRequest.Kind.ERASE:
        return privacy.request_erasure(customer, confirmation=wish.confirm, by=by, now=now)
    acts = {
        PrivacyRequest.Kind.OBJECT: privacy.object_to_decisions,
        PrivacyRequest.Kind.ALLOW: privacy.allow_decisions,
        PrivacyRequest.Kind.WITHDRAW_CONSENT: privacy.withdraw_consent,
        PrivacyRequest.Kind.EXPORT: privacy.request_export,
    }
    return acts[wish.kind](customer, by=by, now=now)


def _visible_receipt(request: Request, receipt: str) -> PrivacyRequest:
    """A key with a row scope sees receipts of its customers, and those it asked for itself."""
    found = privacy.find_receipt(receipt.replace("\x00", ""))
    viewer = viewer_of(request)
    if row_scope(viewer) is not None and found.actor != key_of(request).name:
        of_own = visible_customers(viewer).filter(external_id=found.customer_ref)
        if not of_own.exists():
            raise Http404
    return found


def _document(request: PrivacyRequest) -> dict[str, Any]:
    job = None if request.done_at is not None else privacy.job_of(request)
    state = "done" if request.done_at is not None else "pending"
    if job is not None and job.status in (Job.Status.FAILED, Job.Status.CANCELLED):
        state = "failed"
    return {
        "receipt": request.receipt,
        "kind": request.kind,
        "status": state,
        "requested_at": shown_instant(request.requested_at),
        "done_at": None if request.done_at is None else shown_instant(request.done_at),
    }
