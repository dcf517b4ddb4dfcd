"""Bearer keys of outside systems."""

from __future__ import annotations

import re

import pghistory
from django.contrib.auth.models import AnonymousUser
from django.utils.translation import gettext_lazy as _
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from segmentation.models import ApiKey

_SCHEME = "Bearer"
_KEY = re.compile(r"[A-Za-z0-9]+\.[A-Za-z0-9]+")


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer KEY`. `request.auth` becomes the key; there is no user behind it.

    An unknown, revoked or expired key is one and the same 401, `not_authenticated`. Expiry reads
    the real clock.
    """

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        scheme, _space, sent = get_authorization_header(request).partition(b" ")
        if scheme.lower() != _SCHEME.lower().encode():
            return None
        key = _usable_key(sent.strip().decode("latin-1"))
        if key is None:
            raise AuthenticationFailed(_("This key is unknown, revoked or expired."))
        pghistory.context(actor=key.name)  # the history of what this request changes names it
        return AnonymousUser(), key

    def authenticate_header(self, request: Request) -> str:
        return _SCHEME


def _usable_key(sent: str) -> ApiKey | None:
    if not _KEY.fullmatch(sent):
        return None
    try:
        key = ApiKey.objects.get_from_key(sent)
    except ApiKey.DoesNotExist:
        return None
    return key if isinstance(key, ApiKey) and not key.has_expired else None
