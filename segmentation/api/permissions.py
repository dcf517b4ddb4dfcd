"""What a key may do."""

from __future__ import annotations

from django.utils.translation import gettext as _
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from segmentation.models import ApiKey
from segmentation.models.access import SCOPES


def scope_of(view: APIView, method: str) -> str | None:
    """The scope a request needs: `write_scope` for POST where the view names one, else `scope`."""
    if method == "POST" and (found := getattr(view, "write_scope", None)) is not None:
        return str(found)
    return getattr(view, "scope", None)


class HasScope(BasePermission):
    """The key has the scope the view names. A view that names none lets nobody in."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        scope = scope_of(view, request.method or "")
        if scope not in SCOPES:
            raise LookupError(f"{type(view).__name__} names no scope")
        if isinstance(request.auth, ApiKey) and scope in request.auth.scopes:
            return True
        self.message = _("This key lacks the scope %(scope)s.") % {"scope": scope}
        return False
