"""Facts that arrive while a customer is being erased never stay with the blank row."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from config.clock import real_now
from membership.services.erasure import erase_from_database
from segmentation.models import Customer, Order
from segmentation.services import erasure, privacy
from segmentation.services.importing import record_rows
from tests.fixtures.world import World

pytestmark = pytest.mark.django_db(transaction=True)


def record_order() -> None:
    record_rows(
        "orders",
        [{"order_id": "late", "customer_id": "C1", "placed_at": "2026-01-01", "amount": "5"}],
        actor="till", zone=ZoneInfo("Asia/Shanghai"), base_currency="CNY", now=real_now(),
        recorded_at=datetime.now(UTC),
    )  # fmt: skip


def race(monkeypatch: pytest.MonkeyPatch, *, with_lock: bool) -> None:
    """An erasure is about to commit when an order of the customer comes in."""
    if not with_lock:
        monkeypatch.setattr(erasure, "lock_every_kind", lambda: None)
    customer = Customer.objects.get(external_id="C1")
    by = privacy.Bringer("agent", "admin")
    asked = privacy.request_erasure(customer, confirmation="C1", by=by, now=real_now())
    errors: list[BaseException] = []

    def import_it() -> None:
        try:
            record_order()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=import_it)
    with transaction.atomic():
        erase_from_database(asked, now=real_now())
        thread.start()
        thread.join(timeout=1.5)
        assert thread.is_alive()  # it waits, for the lock or for the customer's row
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert errors == []


@pytest.fixture(autouse=True)
def _one_customer(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)
    World().record("customers", {"customer_id": "C1", "name": "Li Lei"})


def test_a_late_order_makes_a_stranger(monkeypatch: pytest.MonkeyPatch) -> None:
    race(monkeypatch, with_lock=True)
    order = Order.objects.select_related("customer").get()
    assert (order.customer.external_id, order.customer.is_stub) == ("C1", True)
    assert not Order.objects.filter(customer__erased_at__isnull=False).exists()


def test_control_without_the_lock_it_stays_with_the_erased_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    race(monkeypatch, with_lock=False)
    assert Order.objects.filter(customer__erased_at__isnull=False).count() == 1
