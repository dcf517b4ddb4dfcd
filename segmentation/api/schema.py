"""What the OpenAPI document says about things every endpoint shares."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext_lazy as _
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from segmentation.models.access import SCOPES


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


class ErrorDetail(serializers.Serializer[Any]):
    path = serializers.CharField(help_text="JSON pointer into what was sent")
    code = serializers.CharField()
    message = serializers.CharField()


class ErrorDocument(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="stable, for machines")
    message = serializers.CharField(help_text="for people, in the language asked for")
    details = ErrorDetail(many=True)


_ERRORS = {
    401: _("not_authenticated: no key, or an unknown, revoked or expired one"),
    403: _("permission_denied: the key lacks the scope"),
    404: _("not_found"),
    413: _("too_large"),
    415: _("unsupported_media_type"),
    422: _("invalid: every problem is listed in details"),
    429: _("throttled: Retry-After says how many seconds to wait"),
}


def errors(*codes: int) -> dict[int, OpenApiResponse]:
    """The documented error answers of an endpoint; 401, 403 and 429 are always among them."""
    return {
        code: OpenApiResponse(ErrorDocument, description=str(_ERRORS[code]))
        for code in sorted({401, 403, 429, *codes})
    }
