"""The OpenAPI document, and what holds for every address of the API."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import URLPattern, URLResolver, get_resolver

from segmentation.api.authentication import ApiKeyAuthentication
from segmentation.api.permissions import HasScope, scope_of
from segmentation.api.views import ApiView, UnknownEndpoint
from segmentation.models.access import SCOPES

from .conftest import Caller

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.yaml"
ONE = {
    "<path:customer_id>": "C1",
    "<str:key>": "gold",
    "<str:receipt>": "pr_1",
    "<int:run>": "1",
    "<int:merge>": "1",
}
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
            "/api/v1/customers/{customer_id}",
            "/api/v1/customers/{customer_id}/memberships",
            "/api/v1/customers/{customer_id}/merge",
            "/api/v1/customers/{customer_id}/privacy",
            "/api/v1/merges/{merge}",
            "/api/v1/merges/{merge}/undo",
            "/api/v1/privacy/{receipt}",
            "/api/v1/privacy/{receipt}/export",
            "/api/v1/programs",
            "/api/v1/programs/{key}",
            "/api/v1/runs",
            "/api/v1/runs/{run}",
            "/api/v1/runs/{run}/cancel",
            "/api/v1/segments",
            "/api/v1/segments/{key}/members",
            "/api/v1/segments/{key}/runs",
            "/api/v1/transitions",
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
    assert len(operations) == 24
    assert len({operation["operationId"] for operation in operations}) == 24
    for operation in operations:
        assert operation["security"] == [{"apiKey": []}]
        assert {"200", "202"} & set(operation["responses"])
        assert {"401", "403", "429"} <= set(operation["responses"])
        assert any(f"Scope: `{scope}`." in operation["description"] for scope in SCOPES)
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


def _operations() -> Iterator[tuple[str, str, Any]]:
    """Address, method and view of everything that can be asked."""
    for route, view in _views(get_resolver()).items():
        if view is UnknownEndpoint:
            continue
        address = "/" + route
        for placeholder, example in ONE.items():
            address = address.replace(placeholder, example)
        for method in ("get", "post"):
            if hasattr(view, method):
                yield address, method, view


def test_no_address_of_the_api_is_open() -> None:
    views = _views(get_resolver())
    assert views.pop("api/v1/") is UnknownEndpoint
    assert len(views) == 27
    for route, view in views.items():
        assert issubclass(view, ApiView), route
        assert view.authentication_classes == [ApiKeyAuthentication], route
        assert view.permission_classes == [HasScope], route
        assert view.scope in SCOPES, route


@pytest.mark.django_db
def test_a_key_is_refused_wherever_it_lacks_the_scope(caller: Caller) -> None:
    asked = list(_operations())
    assert len(asked) == 24
    for number, (address, method, view) in enumerate(asked):
        wanted = scope_of(view, method.upper())
        others = [scope for scope in SCOPES if scope != wanted]
        for client, status in ((caller(), 401), (caller(*others, name=f"k{number}"), 403)):
            assert getattr(client, method)(address).status_code == status, (method, address)


def test_the_committed_document_is_the_one_that_is_served() -> None:
    """After a wanted change: `UPDATE_OPENAPI=1 pytest tests/api/test_openapi.py`."""
    made = io.StringIO()
    call_command("spectacular", stdout=made)
    if os.environ.get("UPDATE_OPENAPI"):
        COMMITTED.write_text(made.getvalue(), "utf-8")
    assert made.getvalue() == COMMITTED.read_text("utf-8")


@pytest.mark.django_db
def test_endpoints_of_a_later_release_say_so_to_keys_that_may(caller: Caller) -> None:
    """Contract: what belongs to a later issue answers `not_available` until then."""
    may = caller("redemptions:write", "members:read", name="till")
    other, stranger = caller("facts:write", name="other"), caller()
    for method, path in (
        ("post", "quotes"), ("post", "redemptions"), ("post", "redemptions/r_1/commit"),
        ("get", "grants"),
    ):  # fmt: skip
        answers = [getattr(each, method)(f"/api/v1/{path}") for each in (may, other, stranger)]
        assert [answer.status_code for answer in answers] == [501, 403, 401], path
        assert answers[0].json()["code"] == "not_available"
