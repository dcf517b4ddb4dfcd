"""`GET customers/{id}`: attributes, public tags and memberships of one customer."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from config.clock import now, real_now
from membership.services.member_view import held_memberships
from segmentation.api.instants import shown_instant
from segmentation.api.parameters import Parameters
from segmentation.api.privacy import visible_customer
from segmentation.api.schema import CUSTOMER_ID, errors
from segmentation.api.viewer import looker_of
from segmentation.api.views import ApiView
from segmentation.domain.masking import mask_email, mask_phone
from segmentation.models import AccessRecord, Customer, Objection
from segmentation.services.access_log import record_access
from segmentation.services.public_tags import public_tags


class HeldRow(serializers.Serializer[Any]):
    program = serializers.CharField()
    tier = serializers.CharField()
    since = serializers.DateTimeField()
    until = serializers.DateTimeField(allow_null=True, help_text="null: held for good")
    grace_until = serializers.DateTimeField(allow_null=True)


class CustomerDocument(serializers.Serializer[Any]):
    customer_id = serializers.CharField()
    registered_at = serializers.DateTimeField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True, help_text="masked")
    email = serializers.CharField(allow_null=True, help_text="masked")
    gender = serializers.CharField(allow_null=True)
    birth_date = serializers.DateField(allow_null=True)
    city = serializers.CharField(allow_null=True)
    region = serializers.CharField(allow_null=True)
    channel = serializers.CharField(allow_null=True)
    home_store = serializers.CharField(allow_null=True)
    is_staff = serializers.BooleanField(allow_null=True)
    consent_marketing = serializers.BooleanField(allow_null=True)
    consent_at = serializers.DateTimeField(allow_null=True)
    is_stub = serializers.BooleanField(help_text="known by id only: a fact mentioned it")
    objects = serializers.BooleanField(help_text="objects to personalised decisions")
    tags = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="values by group, of groups marked public only",
    )
    memberships = HeldRow(many=True)


_EXAMPLE = {
    "customer_id": "C1001",
    "registered_at": "2017-03-01T00:00:00+08:00",
    "name": "Li Lei",
    "phone": "138••••78",
    "email": "l••••@example.com",
    "gender": "male",
    "birth_date": "1990-05-04",
    "city": "Hangzhou",
    "region": "Zhejiang",
    "channel": "app",
    "home_store": "S01",
    "is_staff": False,
    "consent_marketing": True,
    "consent_at": "2017-03-01T00:00:00+08:00",
    "is_stub": False,
    "objects": False,
    "tags": {"city_tier": ["first"]},
    "memberships": [
        {
            "program": "gold",
            "tier": "silver",
            "since": "2017-07-01T02:00:00+08:00",
            "until": "2018-07-01T00:00:00+08:00",
            "grace_until": None,
        }
    ],
}
_PLAIN = (
    "name", "gender", "city", "region", "channel", "home_store", "is_staff", "consent_marketing",
    "is_stub",
)  # fmt: skip


class OneCustomer(ApiView):
    """What is known about a customer and may be shown: phone and e-mail masked, tags of public
    groups only, nothing hidden. 404 for an unknown or erased customer and, for a key with a row
    scope, for one of another store."""

    scope = "customers:read"

    @extend_schema(
        operation_id="customer",
        parameters=[CUSTOMER_ID],
        responses={200: CustomerDocument, **errors(404, 422)},
        examples=[OpenApiExample("customer", value=_EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, customer_id: str) -> Response:
        customer = visible_customer(request, customer_id)
        Parameters(request, known=()).check()
        record_access(
            AccessRecord.Kind.VIEW_CUSTOMER,
            looker=looker_of(request),
            subject=f"customer:{customer.external_id}",
            now=real_now(),
            rows=1,
        )
        return Response(_document(customer))


def _document(customer: Customer) -> dict[str, Any]:
    day = customer.birth_date
    return {
        "customer_id": customer.external_id,
        **{name: getattr(customer, name) for name in _PLAIN},
        "phone": mask_phone(customer.phone) if customer.phone else None,
        "email": mask_email(customer.email) if customer.email else None,
        "birth_date": None if day is None else day.isoformat(),
        **{
            name: None if instant is None else shown_instant(instant)
            for name, instant in (
                ("registered_at", customer.registered_at),
                ("consent_at", customer.consent_at),
            )
        },
        "objects": Objection.objects.filter(customer=customer).exists(),
        "tags": public_tags(customer, now=now()),
        "memberships": [
            {
                "program": held.program,
                "tier": held.tier,
                "since": held.since.isoformat(),
                "until": None if held.until is None else held.until.isoformat(),
                "grace_until": None if held.grace_until is None else held.grace_until.isoformat(),
            }
            for held in held_memberships(customer)
        ],
    }
