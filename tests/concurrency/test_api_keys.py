"""Requests of one key are counted exactly, and a name is given once, whoever asks at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Barrier, Thread

import pytest
from django.db import connection

from segmentation.domain.errors import TierwiseError
from segmentation.models import ApiKey
from segmentation.models.access import ApiKeyUse
from segmentation.services.api_keys import count_request, create_api_key, revoke_api_key

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 6
STRETCH = 29_000_000


def at_once(act: Callable[[], object]) -> None:
    """`act` in all threads, each on a connection of its own, all started together."""
    barrier = Barrier(THREADS)

    def run() -> None:
        try:
            connection.ensure_connection()
            barrier.wait(10)
            act()
        finally:
            connection.close()

    threads = [Thread(target=run) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()


def key() -> ApiKey:
    create_api_key("till", scopes=["facts:write"])
    return ApiKey.objects.get()


def test_no_request_is_lost() -> None:
    counted: list[int] = []
    till = key()

    def act() -> None:
        for _ in range(20):
            counted.append(count_request(till, stretch=STRETCH))

    at_once(act)
    assert sorted(counted) == list(range(1, 20 * THREADS + 1))
    assert count_request(till, stretch=STRETCH + 1) == 1


def test_control_reading_before_writing_loses_requests() -> None:
    till = key()
    ApiKeyUse.objects.create(key=till, stretch=STRETCH, requests=0)

    def act() -> None:
        found = ApiKeyUse.objects.get(key=till).requests
        time.sleep(0.2)
        ApiKeyUse.objects.filter(key=till).update(requests=found + 1)

    at_once(act)
    assert ApiKeyUse.objects.get().requests < THREADS


def test_a_name_is_given_once() -> None:
    made: list[str] = []
    refused: list[str] = []

    def act() -> None:
        try:
            made.append(create_api_key("till", scopes=["facts:write"]).key)
        except TierwiseError as error:
            refused.append(error.code)

    at_once(act)
    assert len(made) == 1
    assert refused == ["name_taken"] * (THREADS - 1)
    assert ApiKey.objects.count() == 1


def test_a_key_is_revoked_once() -> None:
    outcomes: list[str] = []
    key()

    def act() -> None:
        try:
            outcomes.append(revoke_api_key("till").name)
        except TierwiseError as error:
            outcomes.append(error.code)

    at_once(act)
    assert sorted(outcomes) == ["not_found"] * (THREADS - 1) + ["till"]
