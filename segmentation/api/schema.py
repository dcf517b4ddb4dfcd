"""What the OpenAPI document says about things every endpoint shares."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from segmentation.models.access import SCOPES

from .pagination import Paged
from .permissions import scope_of


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """Registers itself by being defined."""

    target_class = "segmentation.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A key made with `manage.py api_key create`. Scopes: "
            + ", ".join(f"`{scope}`" for scope in SCOPES),
        }


class ScopedSchema(AutoSchema):
    """Says with each operation which scope its key needs."""

    def get_description(self) -> str:  # type: ignore[override]
        scope = scope_of(self.view, self.method)
        words = super().get_description() or ""
        return f"{words.strip()}\n\nScope: `{scope}`.".strip()


class ErrorDetail(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="JSON pointer into what was sent")
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorDocument(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="stable, for machines")
    message = serializers.CharField(help_text="for people, in the language asked for")
    details = ErrorDetail(many=True)


_ERRORS = {
    400: (_("malformed: the body is no JSON"), "malformed", "This is no JSON."),
    401: (
        _("not_authenticated: no key, or an unknown, revoked or expired one"),
        "not_authenticated",
        "This key is unknown, revoked or expired.",
    ),
    403: (
        _("permission_denied: the key lacks the scope"),
        "permission_denied",
        "This key lacks the scope members:read.",
    ),
    404: (
        _("not_found: no such thing, or none this key may know of"),
        "not_found",
        "Not found.",
    ),
    413: (_("too_large"), "too_large", "Send at most 20971520 bytes at a time."),
    415: (
        _("unsupported_media_type: send application/json"),
        "unsupported_media_type",
        'Unsupported media type "text/csv" in request.',
    ),
    422: (
        _("invalid, or a code of its own: every problem is listed in details"),
        "invalid",
        "What was sent can't be used.",
    ),
    429: (
        _("throttled: Retry-After says how many seconds to wait"),
        "throttled",
        "Too many requests. Try again in 15 seconds.",
    ),
}
_DETAIL = {"path": "/x", "code": "unknown_parameter", "message": "Parameters are: cursor, limit."}


def errors(*codes: int) -> dict[int, OpenApiResponse]:
    """The documented error answers of an endpoint; 401, 403 and 429 are always among them."""
    found = {}
    for code in sorted({401, 403, 429, *codes}):
        description, name, message = _ERRORS[code]
        example = {
            "code": name,
            "message": message,
            "details": [_DETAIL] if code == 422 else [],
        }
        found[code] = OpenApiResponse(
            ErrorDocument,
            description=str(description),
            examples=[OpenApiExample(name, value=example, response_only=True)],
        )
    return found


CUSTOMER_ID = OpenApiParameter(
    "customer_id",
    OpenApiTypes.STR,
    OpenApiParameter.PATH,
    description="as in the facts, byte for byte; encode a slash as %2F",
)
LANGUAGE = OpenApiParameter(
    "Accept-Language",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    enum=["en", "zh-hans"],
    description="the language of names and sentences",
)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="a text of your own: the same one again does nothing and gives the first answer",
)
PAGE = [
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "default": 100},
        description="rows of a page; more than 1,000 is read as 1,000",
    ),
    OpenApiParameter(
        "cursor", OpenApiTypes.STR, description="where the page starts: follow `next` instead"
    ),
]


def key_parameter(name: str = "key") -> OpenApiParameter:
    """The key of a definition in an address."""
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.PATH)


def pages_of(name: str, row: type[serializers.Serializer[Any]], **more: Any) -> Any:
    """A page whose `results` are such rows; `more` are fields beside them."""
    return type(name, (Paged,), {**more, "results": row(many=True), "__doc__": "One page."})
