"""Who looks, as the access log writes it down."""

from __future__ import annotations

from typing import cast

from django.contrib.auth.models import User
from django.http import HttpRequest

from segmentation.models import AccessRecord
from segmentation.services.access_log import Looker


def looker(request: HttpRequest) -> Looker:
    """The logged-in person of this request and the address they came from."""
    user = cast(User, request.user)
    return Looker(
        actor=user.get_username(),
        via=AccessRecord.Via.ADMIN,
        user=user,
        address=request.META.get("REMOTE_ADDR") or None,
    )


def typed(text: str | None) -> str:
    """What a person typed, as a database can compare it: no zero bytes, no spaces at the ends."""
    return (text or "").replace("\x00", "").strip()
