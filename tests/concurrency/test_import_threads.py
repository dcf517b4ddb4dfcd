"""Several imports of the same keys at once: no failure, no duplicate, dense ordinals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import IntegrityError, connection

from segmentation.models import Customer, FactBatch, Order
from segmentation.services.importing import recording
from tests.fixtures.fact_files import Importer

pytestmark = pytest.mark.django_db(transaction=True)
HEADER = "order_id customer_id placed_at amount"


def in_threads(*actions: Callable[[], object]) -> list[BaseException | None]:
    """Run all at once, each with its own connection; the error of each, or None."""

    def run(action: Callable[[], object]) -> BaseException | None:
        try:
            action()
        except Exception as error:
            return error
        finally:
            connection.close()
        return None

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(run, actions))


@contextmanager
def meeting_before_writing(monkeypatch: pytest.MonkeyPatch, parties: int) -> Iterator[None]:
    """Every import waits, once it knows what to write, until all know or half a second passed."""
    barrier = threading.Barrier(parties)
    write = recording._write

    def wait_then_write(*arguments: object) -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait(timeout=0.5)
        write(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_write", wait_then_write)
        yield


def importers(folder: Path, number: int) -> list[Callable[[], object]]:
    """Imports of the same orders, each with another amount, and of customers of their own."""
    actions = []
    for index in range(number):
        place = folder / str(index)
        place.mkdir()
        rows = [(f"O{i}", f"C{index}-{i}", "2024-01-01", index + 1) for i in range(20)]
        importer = Importer(place)
        actions.append(lambda importer=importer, rows=rows: importer.rows("orders", HEADER, rows))
    return actions


def test_the_same_orders_from_three_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S15: writers of the same rows wait for each other and never fail."""
    with meeting_before_writing(monkeypatch, 3):
        assert in_threads(*importers(tmp_path, 3)) == [None, None, None]
    assert Order.objects.count() == 20
    assert Order.objects.values("amount").distinct().count() == 1  # the last one won whole
    ordinals = list(Customer.objects.order_by("ordinal").values_list("ordinal", flat=True))
    assert ordinals == list(range(60))
    batches = FactBatch.objects.filter(kind="orders").order_by("pk")
    assert [(batch.inserted, batch.updated) for batch in batches] == [(20, 0), (0, 20), (0, 20)]


def test_without_the_lock_they_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The control: the test above would see the race if the lock were not there."""
    monkeypatch.setattr(recording, "_lock", lambda *arguments: None)
    with meeting_before_writing(monkeypatch, 3):
        errors = in_threads(*importers(tmp_path, 3))
    assert any(isinstance(error, IntegrityError) for error in errors)


def test_stubs_of_different_kinds_share_the_ordinals(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "abcd"]
    for folder in folders:
        folder.mkdir()
    a, b, c, d = (Importer(folder) for folder in folders)
    names = [f"C{i}" for i in range(40)]
    errors = in_threads(
        lambda: a.rows("orders", HEADER, [(n, n, "2024-01-01", 1) for n in names]),
        lambda: b.rows(
            "events", "event_id customer_id name occurred_at",
            [(n, n, "x", "2024-01-01") for n in reversed(names)],
        ),
        lambda: c.rows("customers", "customer_id city", [(n, "x") for n in names[20:]]),
        lambda: d.rows(
            "referrals", "referral_id referrer_id referee_id occurred_at",
            [(n, n, f"{n}'", "2024-01-01") for n in names],
        ),
    )  # fmt: skip
    assert errors == [None] * 4
    found = Customer.objects.order_by("ordinal").values_list("ordinal", flat=True)
    assert list(found) == list(range(80))
    assert Customer.objects.filter(is_stub=False).count() == 20
