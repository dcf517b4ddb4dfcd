"""An API key as somebody who looks: its scopes are its rights, its stores its row scope."""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest
from rest_framework.request import Request

from segmentation.models import AccessRecord, ApiKey
from segmentation.permissions import REQUEST_RUN, VIEW_ALL_CUSTOMERS, VIEW_HIDDEN
from segmentation.services.access_log import Looker

_RIGHTS = {VIEW_HIDDEN: "segments:read_hidden", REQUEST_RUN: "runs:write"}


@dataclass(frozen=True, slots=True)
class KeyViewer:
    """What `segmentation.permissions` asks of whoever looks."""

    key: ApiKey

    @property
    def pk(self) -> None:
        """No staff user stands behind a key."""
        return None

    @property
    def home_stores(self) -> tuple[str, ...] | None:
        """The stores whose customers the key may know of; None: those of all stores."""
        return None if self.key.home_stores is None else tuple(self.key.home_stores)

    def has_perm(self, perm: str, /) -> bool:
        if perm == VIEW_ALL_CUSTOMERS:
            return self.key.home_stores is None
        return _RIGHTS.get(perm) in self.key.scopes


def key_of(request: Request) -> ApiKey:
    """The key behind a request whose scope was checked."""
    assert isinstance(request.auth, ApiKey)
    return request.auth


def viewer_of(request: Request) -> KeyViewer:
    """Who looks."""
    return KeyViewer(key_of(request))


def looker_of(request: Request) -> Looker:
    """Who looks, as the access log writes it down."""
    sent: HttpRequest = request._request
    return Looker(
        actor=key_of(request).name,
        via=AccessRecord.Via.API,
        address=sent.META.get("REMOTE_ADDR") or None,
    )
