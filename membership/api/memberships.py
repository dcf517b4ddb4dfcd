"""`GET /api/v1/customers/{id}/memberships`: the member's own view."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils.translation import get_language
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from membership.services.member_view import MemberView, member_view
from segmentation.api.schema import errors
from segmentation.api.views import ApiView
from segmentation.domain.definitions import Label


class Progress(serializers.Serializer[Any]):
    metric = serializers.CharField()
    need = serializers.CharField(help_text="the threshold, in the metric's unit")
    have = serializers.CharField(allow_null=True)
    missing = serializers.CharField(help_text="the least amount that reaches the threshold")


class MembershipView(serializers.Serializer[Any]):
    program = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    tier = serializers.CharField(allow_null=True)
    tier_label = serializers.CharField(allow_null=True)
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True, help_text="null: held for good")
    grace_until = serializers.DateTimeField(
        allow_null=True, help_text="set in the grace period: when the tier is lost at last"
    )
    progress = Progress(many=True, allow_null=True)
    benefits = serializers.ListField(child=serializers.DictField())
    rewards = serializers.ListField(child=serializers.DictField())


class CustomerMemberships(ApiView):
    """Every program with the tier held, its dates in the program's zone and the way up.

    Names come in the language of `Accept-Language`. Nothing hidden, ever.
    """

    scope = "members:read"

    @extend_schema(
        operation_id="customer_memberships",
        parameters=[OpenApiParameter("customer_id", OpenApiTypes.STR, OpenApiParameter.PATH)],
        responses={200: MembershipView(many=True), **errors(404)},
    )
    def get(self, request: Request, customer_id: str) -> Response:
        # No stored text holds a NUL, and PostgreSQL refuses to look for one.
        views = None if "\x00" in customer_id else member_view(customer_id)
        if views is None:
            raise NotFound
        return Response([_document(view) for view in views])


def _document(view: MemberView) -> dict[str, Any]:
    return {
        "program": view.program,
        "label": _text(view.label),
        "tier": view.tier,
        "tier_label": None if view.tier_label is None else _text(view.tier_label),
        "since": None if view.since is None else view.since.isoformat(),
        "until": None if view.until is None else view.until.isoformat(),
        "grace_until": None if view.grace_until is None else view.grace_until.isoformat(),
        "progress": None if view.progress is None else [asdict(gap) for gap in view.progress],
        "benefits": [],
        "rewards": [],
    }


def _text(label: Label) -> str:
    return label.zh_hans if (get_language() or "").startswith("zh") else label.en
