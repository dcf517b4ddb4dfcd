"""Several imports of the same keys at once: no failure, no duplicate, dense ordinals."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.db import IntegrityError, OperationalError, connection

from segmentation.models import Customer, CustomerTag, FactBatch, Order, Refund, TagGroup
from segmentation.services.importing import recording, records
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


def correct_a_rate_beside_a_refund(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Refund:
    """A refund has read its order's rate when a file with another rate of the order comes."""
    orders, refunds = Importer(folder), Importer(folder / "refunds")
    refunds.folder.mkdir()
    header = f"{HEADER} currency rate"
    orders.rows("orders", header, [("O1", "C1", "2024-01-01", 100, "EUR", 7)])
    has_read = threading.Event()
    write = recording._write

    def slow_refunds(merge: object, counts: recording.Counts, *others: object) -> None:
        if counts.kind == "refunds":
            has_read.set()
            threading.Event().wait(0.5)
        write(merge, counts, *others)  # type: ignore[arg-type]

    def correct() -> None:
        assert has_read.wait(10)
        orders.rows("orders", header, [("O1", "C1", "2024-01-01", 100, "EUR", 8)])

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_write", slow_refunds)
        errors = in_threads(
            lambda: refunds.rows(
                "refunds", "refund_id order_id refunded_at amount", [("R1", "O1", "2024-01-02", 50)]
            ),
            correct,
        )
    assert errors == [None, None]
    return Refund.objects.get()


def test_a_rate_is_corrected_beside_a_refund(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert correct_a_rate_beside_a_refund(tmp_path, monkeypatch).amount == 400


def test_without_the_lock_the_refund_keeps_the_old_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_lock", lambda *arguments: None)
    assert correct_a_rate_beside_a_refund(tmp_path, monkeypatch).amount == 350


def call_with_tags_beside_tags(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> list[BaseException | None]:
    """Rows of one customer, the second with a tag, while a file of tags creates a stub."""
    document = {"group": "tier", "exclusive": True, "values": ["a", "b"]}
    TagGroup.objects.create(key="tier", label_en="t", label_zh_hans="t", document=document)
    importer = Importer(folder)
    has_locked = threading.Event()
    write = recording._write

    def slow_customers(merge: object, counts: recording.Counts, *others: object) -> None:
        if counts.kind == "customers" and not has_locked.is_set():
            has_locked.set()
            threading.Event().wait(0.5)
        write(merge, counts, *others)  # type: ignore[arg-type]

    def tags() -> None:
        assert has_locked.wait(10)
        importer.rows("tags", "customer_id group value", [("C9", "tier", "b")])

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_write", slow_customers)
        return in_threads(
            lambda: importer.call(
                "customers", [{"customer_id": "C1"}, {"customer_id": "C1", "tag:tier": "a"}]
            ),
            tags,
        )


def test_a_call_whose_later_rows_have_tags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S15: a call takes the lock of tags before that of customers, whichever row needs it."""
    assert call_with_tags_beside_tags(tmp_path, monkeypatch) == [None, None]
    found = CustomerTag.objects.order_by("value").values_list("customer__external_id", "value")
    assert list(found) == [("C1", "a"), ("C9", "b")]


def test_without_the_early_lock_one_of_them_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "lock_tags", lambda: None)
    errors = call_with_tags_beside_tags(tmp_path, monkeypatch)
    assert [type(error) for error in errors if error is not None] == [OperationalError]
