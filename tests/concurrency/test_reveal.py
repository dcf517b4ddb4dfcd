"""The daily limit of reveals holds when one person asks many times at once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection

from segmentation.domain.errors import TierwiseError
from segmentation.models import AccessRecord, Customer, FactBatch
from segmentation.services import access_log
from segmentation.services.access_log import Looker, reveal_personal_data

from .test_runs import together

pytestmark = pytest.mark.django_db(transaction=True)
NOW = datetime(2026, 3, 1, tzinfo=UTC)
LIMIT = 3


@pytest.fixture
def reveal(settings: Any) -> Callable[[], str]:
    """Reveals one customer as one person; "shown" or the error's code."""
    settings.REVEAL_DAILY_LIMIT = LIMIT
    user = User.objects.create_user("support", password="x")
    batch = FactBatch.objects.create(kind="customers", source="import", recorded_at=NOW)
    customer = Customer.objects.create(
        batch=batch, external_id="C1", ordinal=0, phone="13812345678"
    )
    looker = Looker("support", AccessRecord.Via.ADMIN, user=user)

    def once() -> str:
        try:
            found = reveal_personal_data(customer, looker=looker, reason="calls back", now=NOW)
        except TierwiseError as error:
            return error.code
        assert found.phone == "13812345678"
        return "shown"

    return once


def test_of_many_at_once_only_the_limit_is_shown(reveal: Callable[[], str]) -> None:
    assert sorted(map(str, together(8, reveal))) == ["reveal_limit"] * 5 + ["shown"] * LIMIT
    assert AccessRecord.objects.filter(kind=AccessRecord.Kind.REVEAL).count() == LIMIT


def test_control_without_the_lock_more_than_the_limit_are_shown(
    reveal: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All have counted before any writes: what the lock prevents."""
    gate = threading.Barrier(4)
    write = access_log.record_access

    def write_after_all_counted(*given: Any, **named: Any) -> AccessRecord:
        gate.wait(timeout=10)
        return write(*given, **named)

    reveal(), reveal()  # one is left
    monkeypatch.setattr(access_log, "record_access", write_after_all_counted)
    monkeypatch.setattr(access_log, "connection", _Unlocked())
    assert together(4, reveal) == ["shown"] * 4
    assert AccessRecord.objects.filter(kind=AccessRecord.Kind.REVEAL).count() == LIMIT + 3


class _Unlocked:
    """A connection that asks the database for no lock."""

    @contextlib.contextmanager
    def cursor(self) -> Iterator[Any]:
        with connection.cursor():
            yield self

    def execute(self, sql: str, parameters: Any) -> None:
        assert "pg_advisory_xact_lock" in sql
