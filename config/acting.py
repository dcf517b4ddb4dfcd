"""Who acts: the person, the page and the address of a request, for the history of what it changes.

Services add the actor and the reason; what no service did, like a role given on Django's own page,
is told by this alone.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from pghistory.middleware import HistoryMiddleware


class ActingMiddleware(HistoryMiddleware):
    """pghistory's middleware that keeps the user's name too: it may change, or the user go."""

    def get_context(self, request: HttpRequest) -> dict[str, Any]:
        found: dict[str, Any] = super().get_context(request)
        name = request.user.get_username()
        return {**found, **({"username": name} if name else {})}
