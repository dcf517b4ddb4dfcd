"""People and a shop for every admin test, and how to enter as somebody."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.fixtures.cast import Cast, make_cast
from tests.fixtures.sample import Shop, make_shop


@pytest.fixture
def cast(db: None) -> Cast:
    return make_cast()


@pytest.fixture
def shop(db: None) -> Shop:
    return make_shop()


@pytest.fixture
def enter() -> Callable[..., Client]:
    """`enter(user, language="en")` is a browser in which this person is logged in."""

    def open_as(user: User, *, language: str = "en") -> Client:
        client = Client(headers={"accept-language": language})
        client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
        return client

    return open_as
