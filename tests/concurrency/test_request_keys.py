"""Two requests with one Idempotency-Key at the same time do one thing."""

from __future__ import annotations

import threading
import time

import pytest
from django.db import connection

from config.clock import real_now
from segmentation.models import ApiKey, Run
from segmentation.services.api_keys import create_api_key
from segmentation.services.request_keys import once
from segmentation.services.runs import request_run

pytestmark = pytest.mark.django_db(transaction=True)
THREADS = 4


def start_together(key: str | None) -> set[str]:
    create_api_key("app", scopes=["runs:write"])
    api_key = ApiKey.objects.get()
    together = threading.Barrier(THREADS)
    found: list[str] = []

    def act() -> str:
        run = request_run(as_of=real_now(), actor="app", now=real_now())
        time.sleep(0.1)  # the others come while the first is at it
        return f"run:{run.pk}"

    def ask() -> None:
        try:
            together.wait(timeout=10)
            found.append(once(api_key, key=key, digest="d", now=real_now(), act=act))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(found) == THREADS
    return set(found)


def test_one_key_one_run() -> None:
    assert len(start_together("night-1")) == 1
    assert Run.objects.count() == 1


def test_control_without_a_key_each_is_its_own() -> None:
    assert len(start_together(None)) == THREADS
    assert Run.objects.count() == THREADS
