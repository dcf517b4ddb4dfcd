"""Endpoints of the contract that a later release brings: named, guarded and `not_available`."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework.request import Request

from segmentation.api.views import ApiView
from segmentation.domain.errors import NotAvailableError


class LaterEndpoint(ApiView):
    """501 for a key with the scope, by any method; every other key is refused as it will be."""

    schema = None  # type: ignore[assignment]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise NotAvailableError(_("This endpoint comes with a later release."))


class Redemptions(LaterEndpoint):
    scope = "redemptions:write"


class Grants(LaterEndpoint):
    scope = "members:read"
