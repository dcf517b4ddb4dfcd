"""Rows of an API call: the rules of files, a result for each row."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from segmentation.models import Customer, CustomerTag, Event, FactBatch, Order, TagGroup
from segmentation.services.importing import RowResults
from tests.fixtures.fact_files import Importer

pytestmark = pytest.mark.django_db


@pytest.fixture
def importer(tmp_path: Path) -> Importer:
    return Importer(tmp_path)


def order(key: str, amount: object = "1", **more: object) -> dict[str, object]:
    return {
        "order_id": key,
        "customer_id": "C1",
        "placed_at": "2024-01-01",
        "amount": amount,
        **more,
    }


def short(results: RowResults) -> list[tuple[str | None, str, str | None]]:
    assert [result.index for result in results.results] == list(range(len(results.results)))
    return [(result.id, result.status, result.code) for result in results.results]


def test_every_row_has_its_result(importer: Importer) -> None:
    rows: list[Any] = [
        order("O1"),
        order("O2", Decimal("2.50")),
        order("O3", 3),
        order("O4", 1.5),
        order("O5", colour="red"),
        order("O6", "x"),
        {"order_id": "O7"},
        order("O1", "1.0"),
        order("O1", "4"),
        order("O8", is_promotion=True, channel=None),
        order("O9", is_promotion="yes"),
        order(""),
        order("Q1", Decimal("1e-3")),
        order("Q2", Decimal("1e9999")),
        order("a\ud800"),
        ["O1"],
    ]
    results = importer.call("orders", rows)
    assert short(results) == [
        ("O1", "inserted", None),
        ("O2", "inserted", None),
        ("O3", "inserted", None),
        ("O4", "rejected", "bad_type"),
        ("O5", "rejected", "unknown_column"),
        ("O6", "rejected", "bad_number"),
        ("O7", "rejected", "missing"),
        ("O1", "unchanged", None),
        ("O1", "updated", None),
        ("O8", "inserted", None),
        ("O9", "rejected", "bad_boolean"),
        (None, "rejected", "missing"),
        ("Q1", "rejected", "too_precise"),
        ("Q2", "rejected", "out_of_range"),
        ("a\\ud800", "rejected", "bad_text"),
        (None, "rejected", "bad_type"),
    ]
    counts = results.counts
    assert (counts.read, counts.inserted, counts.unchanged, counts.updated, counts.rejected) == (
        16, 4, 1, 1, 10,
    )  # fmt: skip
    assert all((r.message is None) == (r.code is None) for r in results.results)
    assert Order.objects.get(external_id="O1").amount == 4
    batches = FactBatch.objects.values_list("kind", "source", "actor", "read", "rejected")
    assert set(batches) == {("orders", "api", "key", 16, 10), ("customers", "api", "key", 1, 0)}


def test_keys_left_out_are_per_row(importer: Importer) -> None:
    importer.call("orders", [order("O1", channel="app", status="paid"), order("O2", channel="app")])
    rows = [order("O1", channel="web"), order("O2", status="paid"), order("O3", discount="1")]
    assert [status for _, status, _ in short(importer.call("orders", rows))] == [
        "updated",
        "updated",
        "inserted",
    ]
    found = Order.objects.order_by("external_id").values_list("channel", "status", "discount")
    assert list(found) == [
        ("web", "paid", None),
        ("app", "paid", None),
        (None, "completed", Decimal("1")),
    ]


def test_one_key_with_other_columns_each_time(importer: Importer) -> None:
    rows = [
        order("O1", channel="app"),
        order("O1", status="paid"),
        order("O1", channel=""),
        order("O1", channel="web", discount="1"),
        order("O1"),
    ]
    assert [status for _, status, _ in short(importer.call("orders", rows))] == [
        "inserted",
        "updated",
        "updated",
        "updated",
        "unchanged",
    ]
    found = Order.objects.get()
    assert (found.channel, found.status, found.discount) == ("web", "paid", 1)


def test_atomic_rejects_all_when_one_is_bad(importer: Importer) -> None:
    results = importer.call("orders", [order("O1"), order("O2", "-1")], atomic=True)
    assert short(results) == [("O1", "rejected", "not_recorded"), ("O2", "rejected", "negative")]
    assert not FactBatch.objects.exists()
    assert not Customer.objects.exists()
    assert results.counts.rejected == 2
    assert short(importer.call("orders", [order("O1")], atomic=True))[0][1] == "inserted"


def test_properties_and_tags_as_json(importer: Importer) -> None:
    event = {"event_id": "E1", "customer_id": "C1", "name": "n", "occurred_at": "2024-01-01"}
    nested = {"price": Decimal("1.10"), "list": [1, None, True, {"x": "上"}]}
    assert short(importer.call("events", [{**event, "properties": nested}]))[0][1] == "inserted"
    with connection.cursor() as cursor:
        cursor.execute("SELECT properties->>'price' FROM segmentation_event")
        assert cursor.fetchone() == ("1.10",)
    assert Event.objects.get().properties["list"] == [1, None, True, {"x": "上"}]
    assert short(importer.call("events", [{**event, "properties": [1]}]))[0][2] == "bad_type"
    TagGroup.objects.create(
        key="likes",
        label_en="l",
        label_zh_hans="l",
        document={"group": "likes", "exclusive": False, "values": ["tea", "wine"]},
    )
    rows: list[dict[str, object]] = [
        {"customer_id": "C1", "tag:likes": ["wine", "tea"]},
        {"customer_id": "C2", "city": "x"},
        {"customer_id": "C3", "tag:likes": "beer"},
        {"customer_id": "C4", "tag:none": "x"},
    ]
    assert short(importer.call("customers", rows)) == [
        ("C1", "inserted", None),
        ("C2", "inserted", None),
        ("C3", "rejected", "unknown_value"),
        ("C4", "rejected", "unknown_group"),
    ]
    assert set(CustomerTag.objects.values_list("value", flat=True)) == {"tea", "wine"}
    again: list[dict[str, object]] = [{"customer_id": "C1", "city": "y"}]
    assert short(importer.call("customers", again))[0][1] == "updated"
    assert CustomerTag.objects.filter(is_removed=False).count() == 2


def test_no_rows(importer: Importer) -> None:
    assert importer.call("orders", []).results == ()
    assert not FactBatch.objects.exists()


def test_inside_a_larger_transaction_twice(importer: Importer) -> None:
    with transaction.atomic():
        importer.call("orders", [order("O1")])
        importer.call("events", [{"event_id": "E1", "customer_id": "C2", "name": "n",
                                  "occurred_at": "2024-01-01"}])  # fmt: skip
    assert list(Customer.objects.order_by("ordinal").values_list("ordinal", flat=True)) == [0, 1]
