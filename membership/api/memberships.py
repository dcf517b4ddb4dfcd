"""`GET /api/v1/customers/{id}/memberships`: the member's own view."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from membership.services.member_view import MemberView, views_of
from segmentation.api.instants import shown_instant
from segmentation.api.labels import label_text
from segmentation.api.parameters import Parameters
from segmentation.api.privacy import visible_customer
from segmentation.api.schema import CUSTOMER_ID, LANGUAGE, errors
from segmentation.api.trouble import RunTrouble, shown_trouble
from segmentation.api.views import ApiView
from segmentation.models import Run
from segmentation.services.run_standing import run_in_trouble


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
    last_good_as_of = serializers.DateTimeField(
        allow_null=True, help_text="of the newest published run, if it looked at the program"
    )
    last_error = RunTrouble(allow_null=True, help_text="null when all is well")


_EXAMPLE = {
    "program": "gold",
    "label": "Gold Club",
    "tier": "silver",
    "tier_label": "Silver",
    "since": "2017-07-01T02:00:00+08:00",
    "until": "2018-07-01T00:00:00+08:00",
    "grace_until": None,
    "progress": [
        {"metric": "net_spend_365d", "need": "10000.00", "have": "7512.40", "missing": "2487.60"}
    ],
    "benefits": [],
    "rewards": [],
    "last_good_as_of": "2018-01-01T00:00:00+08:00",
    "last_error": None,
}


class CustomerMemberships(ApiView):
    """Every program with the tier held, its dates in the program's zone and the way up.

    Names come in the language of `Accept-Language`. Nothing hidden, ever.
    """

    scope = "members:read"

    @extend_schema(
        operation_id="customer_memberships",
        parameters=[CUSTOMER_ID, LANGUAGE],
        responses={200: MembershipView(many=True), **errors(404, 422)},
        examples=[OpenApiExample("memberships", value=_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, customer_id: str) -> Response:
        customer = visible_customer(request, customer_id)
        Parameters(request, known=()).check()
        views = views_of(customer)
        trouble = trouble_since(views[0].run) if views else None
        return Response([{**_document(view), "last_error": trouble} for view in views])


def trouble_since(published: Run | None) -> dict[str, Any] | None:
    """What went wrong since the run whose results show."""
    run = run_in_trouble(published)
    return None if run is None else shown_trouble(run)


def _document(view: MemberView) -> dict[str, Any]:
    good = view.last_good_as_of
    return {
        "program": view.program,
        "label": label_text(view.label),
        "tier": view.tier,
        "tier_label": None if view.tier_label is None else label_text(view.tier_label),
        "since": None if view.since is None else view.since.isoformat(),
        "until": None if view.until is None else view.until.isoformat(),
        "grace_until": None if view.grace_until is None else view.grace_until.isoformat(),
        "progress": None if view.progress is None else [asdict(gap) for gap in view.progress],
        "benefits": [],
        "rewards": [],
        "last_good_as_of": None if good is None else shown_instant(good),
    }
