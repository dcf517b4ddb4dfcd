"""Every error of the API as `{code, message, details: [{path, code, message}]}`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import set_rollback

from segmentation.domain.errors import Problem, TierwiseError

_log = logging.getLogger(__name__)

# A problem in what was sent is 422 unless its code says something else.
_STATUS = {
    "not_found": status.HTTP_404_NOT_FOUND,
    "merged": status.HTTP_404_NOT_FOUND,
    "not_available": status.HTTP_501_NOT_IMPLEMENTED,
    "too_large": status.HTTP_413_REQUEST_ENTITY_TOO_LARGE,
}
_CODES = {
    "authentication_failed": "not_authenticated",
    "parse_error": "malformed",
    "error": "invalid",
}


def exception_handler(error: Exception, context: Mapping[str, Any]) -> Response:
    """The answer to an exception of a view; an unknown one is logged whole, answered neutrally."""
    set_rollback()
    if isinstance(error, TierwiseError):
        code = _STATUS.get(error.code, status.HTTP_422_UNPROCESSABLE_ENTITY)
        return Response(error.as_document(), status=code)
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    elif isinstance(error, BadRequest | SuspiciousOperation):
        error = exceptions.ParseError()
    if isinstance(error, exceptions.ValidationError):
        return Response(_validation(error), status=status.HTTP_422_UNPROCESSABLE_ENTITY)
    if isinstance(error, exceptions.APIException):
        return _known(error)
    _log.error("api request failed", exc_info=error)
    document = _document("internal_error", _("Something went wrong here. Please try again later."))
    return Response(document, status=status.HTTP_500_INTERNAL_SERVER_ERROR)


def _known(error: exceptions.APIException) -> Response:
    headers = {}
    if header := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = header
    if isinstance(error, exceptions.Throttled):
        # The throttle gives whole seconds; DRF would put a sentence of its own around them.
        wait = int(getattr(error, "wait", None) or 1)
        headers["Retry-After"] = str(wait)
        message = _("Too many requests. Try again in %(seconds)s seconds.") % {"seconds": wait}
    else:
        message = str(error.detail)
    codes = error.get_codes()
    code = codes if isinstance(codes, str) else error.default_code
    document = _document(_CODES.get(code, code), message)
    return Response(document, status=error.status_code, headers=headers)


def _document(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "details": []}


def _validation(error: exceptions.ValidationError) -> dict[str, Any]:
    problems = tuple(_problems(error.get_full_details(), ""))
    return {
        "code": "invalid",
        "message": _("What was sent can't be used."),
        "details": [asdict(problem) for problem in problems],
    }


def _problems(details: Any, path: str) -> Iterator[Problem]:
    if isinstance(details, Mapping):
        if set(details) == {"message", "code"} and not isinstance(details["message"], Mapping):
            yield Problem(path, str(details["code"]), str(details["message"]))
            return
        for key, below in details.items():
            part = "" if key == "non_field_errors" else "/" + _escaped(str(key))
            yield from _problems(below, path + part)
    else:
        for below in details:
            yield from _problems(below, path)


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
