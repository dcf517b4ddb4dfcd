"""Content security: strict everywhere; the admin theme alone may evaluate expressions. And what no
table can hold is refused as bad input, whichever page it was sent to.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from pathlib import Path

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
_OWN = str(Path(__file__).parents[1])
# SQLSTATEs of an input that no column takes: a character, a text of a number or another type, a
# character without a place in the encoding, a number and a time out of range.
_UNSTORABLE = frozenset({"22021", "22P02", "22P05", "22003", "22008"})
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
    is the net below them. It is logged with where it came from: a fault of ours may hide behind
    it. What a database refuses for another reason stays a fault."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        state = getattr(error.__cause__, "sqlstate", None)
        if not (isinstance(error, UnicodeEncodeError) or _is_unstorable(error, state=state)):
            return None
        # Not its text: that repeats what was sent.
        _log.warning(
            "refused what no table can hold: %s %s: %s %s at %s",
            request.method,
            request.path,
            type(error).__name__,
            state or "-",
            _raised_at(error),
        )
        return render(request, "400.html", status=400)


def _is_unstorable(error: Exception, *, state: str | None) -> bool:
    if not isinstance(error, DataError):
        return False
    # The driver refuses a zero byte itself, without a state.
    return state in _UNSTORABLE or (state is None and "NUL" in str(error))


def _raised_at(error: Exception) -> str:
    """File and line of the last frame of ours, where there is one."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [
        frame
        for frame in frames
        if frame.filename.startswith(_OWN) and "site-packages" not in frame.filename
    ]
    last = (ours or frames)[-1:]
    return f"{last[0].filename}:{last[0].lineno}" if last else "-"
