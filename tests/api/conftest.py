"""Callers of the API: the integration key and a stranger."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from segmentation.services.api_keys import create_api_key

Caller = Callable[..., APIClient]


@pytest.fixture
def caller(db: None) -> Caller:
    """`caller("facts:write")`: a client with a fresh key of those scopes; without: a stranger."""

    def make(*scopes: str, name: str = "integration") -> APIClient:
        client = APIClient(raise_request_exception=False)
        if scopes:
            made = create_api_key(f"{name} {' '.join(scopes)}"[:50], scopes=scopes)
            client.credentials(HTTP_AUTHORIZATION=f"Bearer {made.key}")
        return client

    return make
