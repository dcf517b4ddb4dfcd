"""An endpoint that fails on demand, so that each kind of error can be seen from outside."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.urls import path, re_path
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from segmentation.api.views import ApiView, UnknownEndpoint
from segmentation.domain.errors import NotAvailableError, NotFoundError, Problem, TierwiseError

FAILURES: dict[str, Exception] = {
    "crash": RuntimeError("the password is hunter2"),
    "http404": Http404("a secret name"),
    "denied": PermissionDenied("a secret name"),
    "suspicious": SuspiciousOperation("a secret name"),
    "not_found": NotFoundError("There is no such thing."),
    "later": NotAvailableError("Comes later."),
    "invalid": TierwiseError("Two problems.", problems=(Problem("/a", "x", "y"),) * 2),
    "fields": ValidationError({"a/b": ["Bad.", "Worse."], "rows": {2: {"sku": ["Empty."]}}}),
}


class Probe(ApiView):
    scope = "runs:read"
    schema = None

    def get(self, request: Request) -> Response:
        if failure := request.query_params.get("fail"):
            raise FAILURES[failure]
        return Response({"ok": True})

    def post(self, request: Request) -> Response:
        data: Any = request.data
        return Response({"repr": repr(data)})


class Unscoped(ApiView):
    schema = None

    def get(self, request: Request) -> Response:
        return Response({"ok": True})


urlpatterns = [
    path("admin/", admin.site.urls),  # a middleware asks where the admin is
    path("api/v1/probe", Probe.as_view()),
    path("api/v1/unscoped", Unscoped.as_view()),
    re_path("^api/", UnknownEndpoint.as_view()),
]
