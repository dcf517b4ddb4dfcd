"""Facts that arrive under the old id while it is being merged are the survivor's."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from config.clock import real_now
from membership.services.merging import merge_customers
from segmentation.domain.errors import TierwiseError
from segmentation.models import Customer, CustomerMerge, FactBatch, Order, RedirectedFact
from segmentation.services import merging
from segmentation.services.importing import record_rows
from segmentation.services.merge_moves import Writer
from tests.fixtures.world import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _two_customers(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)
    World().record("customers", {"customer_id": "OLD"}, {"customer_id": "NEW"})


def merge(old: str = "OLD", into: str = "NEW") -> CustomerMerge:
    now = real_now()
    pair = [Customer.objects.get(external_id=name).pk for name in (into, old)]
    writer = Writer(FactBatch.Source.ADMIN, "support", recorded_at=now, now=now)
    return merge_customers(*pair, reason="same", writer=writer)


def record_order() -> None:
    record_rows(
        "orders",
        [{"order_id": "late", "customer_id": "OLD", "placed_at": "2026-01-01", "amount": "5"}],
        actor="till", zone=ZoneInfo("Asia/Shanghai"), base_currency="CNY", now=real_now(),
        recorded_at=datetime.now(UTC),
    )  # fmt: skip


def meanwhile(act: Callable[[], object]) -> list[BaseException]:
    """The merge is done but not committed when `act` begins in another connection; it waits."""
    errors: list[BaseException] = []

    def other() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    with transaction.atomic():
        merge()
        thread.start()
        thread.join(timeout=1.5)
        assert thread.is_alive()
    thread.join(timeout=20)
    assert not thread.is_alive()
    return errors


def test_a_late_order_is_the_survivors_and_it_is_kept_how_it_came() -> None:
    assert meanwhile(record_order) == []
    order = Order.objects.select_related("customer").get()
    assert order.customer.external_id == "NEW"
    kept = RedirectedFact.objects.select_related("alias").get()
    assert (kept.kind, kept.row_id, kept.alias.external_id) == ("orders", order.pk, "OLD")


def test_control_without_the_lock_it_stays_with_the_old_id(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(merging, "lock_every_kind", lambda: None)
    errors: list[BaseException] = []

    def other() -> None:
        try:
            record_order()
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=other)
    with transaction.atomic():
        merge()
        thread.start()
        thread.join(timeout=20)  # nothing holds it up
        assert not thread.is_alive()
    assert errors == []
    assert Order.objects.get().customer.external_id == "OLD"


def test_two_merges_of_one_id_make_one_alias() -> None:
    World().record("customers", {"customer_id": "THIRD"})
    errors = meanwhile(lambda: merge("OLD", "THIRD"))
    assert [getattr(error, "code", error) for error in errors] == ["not_found"]
    assert isinstance(errors[0], TierwiseError)
    assert CustomerMerge.objects.count() == 1
    old = Customer.objects.select_related("merged_into").get(external_id="OLD")
    assert old.merged_into is not None
    assert old.merged_into.external_id == "NEW"


def test_each_into_the_other_at_once_makes_no_circle() -> None:
    errors = meanwhile(lambda: merge("NEW", "OLD"))
    assert [getattr(error, "code", error) for error in errors] == ["not_found"]
    assert Customer.objects.filter(merged_into=None).count() == 1
