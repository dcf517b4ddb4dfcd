"""Content security: strict everywhere; the admin theme alone may evaluate expressions. And what no
table can hold is refused as bad input, whichever page it was sent to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF, "data:"],
        "connect-src": [SELF],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
_log = logging.getLogger(__name__)
# Alpine.js in the theme evaluates the expressions in its templates and sets style attributes.
ADMIN_ADDITIONS = {"script-src": [UNSAFE_EVAL], "style-src": [UNSAFE_INLINE]}
# The API browser sets style attributes; it evaluates nothing.
DOCS_ADDITIONS = {"style-src": [UNSAFE_INLINE]}


class AdminContentPolicy:
    """Adds the theme's needs to pages below `/admin/`; must come after CSPMiddleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if request.path.startswith("/admin/"):
            response._csp_update = ADMIN_ADDITIONS  # type: ignore[attr-defined]
        elif request.path.startswith("/api/docs/"):
            response._csp_update = DOCS_ADDITIONS  # type: ignore[attr-defined]
        return response


class UnstorableInput:
    """400 for a text or number in an address or a form that PostgreSQL refuses to take: a zero
    byte, half a character, more digits than a column has. Pages check what they can explain; this
    is the net below them. It is logged: a fault of ours may hide behind it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if not isinstance(error, DataError | UnicodeEncodeError):
            return None
        # Not its text: that repeats what was sent.
        _log.warning("refused what no table can hold: %s %s", request.method, request.path)
        return render(request, "400.html", status=400)
