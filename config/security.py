"""Content security: strict everywhere; the admin theme alone may evaluate expressions."""

from __future__ import annotations

from collections.abc import Callable

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from django.http import HttpRequest, HttpResponse

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
