"""The OpenAPI document, and what holds for every address of the API."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.request import Request

from segmentation.api.authentication import ApiKeyAuthentication
from segmentation.api.pagination import CursorPages
from segmentation.api.permissions import HasScope
from segmentation.api.views import ApiView, UnknownEndpoint
from segmentation.models.access import SCOPES

from .conftest import Caller

BULK = ["customers", "events", "order_lines", "orders", "referrals", "refunds"]


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Any:
    call_command("spectacular", "--validate", "--fail-on-warn", "--format", "openapi-json")
    return json.loads(capsys.readouterr().out)


def test_the_document_is_valid_and_lists_every_endpoint(document: Any) -> None:
    paths = [path for path in document["paths"] if path.startswith("/api/v1/")]
    assert sorted(paths) == sorted(
        [
            *(f"/api/v1/{kind}/bulk" for kind in BULK),
            "/api/v1/customers/{customer_id}/memberships",
        ]
    )


def test_every_operation_names_its_key_and_its_errors(document: Any) -> None:
    scheme = document["components"]["securitySchemes"]["apiKey"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    operations = [
        operation
        for path, methods in document["paths"].items()
        if path.startswith("/api/v1/")
        for operation in methods.values()
    ]
    assert len(operations) == 7
    assert len({operation["operationId"] for operation in operations}) == 7
    for operation in operations:
        assert operation["security"] == [{"apiKey": []}]
        assert {"200", "401", "403", "429"} <= set(operation["responses"])
        error = operation["responses"]["403"]["content"]["application/json"]["schema"]
        assert error == {"$ref": "#/components/schemas/ErrorDocument"}


def test_the_document_can_be_fetched(caller: Caller) -> None:
    response = caller().get("/api/schema/")
    assert response.status_code == 200
    assert b"/api/v1/orders/bulk" in response.content


def _views(resolver: URLResolver, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            found |= _views(pattern, route)
        elif isinstance(pattern, URLPattern) and route.startswith("api/v1/"):
            found[route] = getattr(pattern.callback, "view_class", None) or getattr(
                pattern.callback, "cls", None
            )
    return found


def test_no_address_of_the_api_is_open() -> None:
    views = _views(get_resolver())
    assert views.pop("api/v1/") is UnknownEndpoint
    assert len(views) == 7
    for route, view in views.items():
        assert issubclass(view, ApiView), route
        assert view.authentication_classes == [ApiKeyAuthentication], route
        assert view.permission_classes == [HasScope], route
        assert view.scope in SCOPES, route


@pytest.mark.django_db
def test_a_key_is_refused_wherever_it_lacks_the_scope(caller: Caller) -> None:
    for route, view in _views(get_resolver()).items():
        if view is UnknownEndpoint:
            continue
        path = "/" + route.replace("<path:customer_id>", "C1")
        others = [scope for scope in SCOPES if scope != view.scope]
        send = "post" if hasattr(view, "post") else "get"
        for client, status in ((caller(), 401), (caller(*others, name=route), 403)):
            assert getattr(client, send)(path).status_code == status, route


def test_pages_have_a_default_and_a_largest_size(rf: Any) -> None:
    sizes = {
        asked: CursorPages().get_page_size(Request(rf.get("/", {"limit": asked} if asked else {})))
        for asked in ("", "1", "1000", "1001", "0", "x")
    }
    assert sizes == {"": 100, "1": 1, "1000": 1000, "1001": 1000, "0": 100, "x": 100}
