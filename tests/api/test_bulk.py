"""Facts in batches: `POST /api/v1/<kind>/bulk`."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from segmentation.api.bulk import KINDS
from segmentation.models import Customer, FactBatch, Order
from segmentation.models.access import SCOPES

from .conftest import Caller

pytestmark = pytest.mark.django_db
ROWS: dict[str, dict[str, Any]] = {
    "customers": {"customer_id": "C1", "city": "上海", "consent_marketing": True},
    "orders": {
        "order_id": "O1",
        "customer_id": "C1",
        "placed_at": "2018-03-05T10:00:00+08:00",
        "amount": "99.90",
    },
    "order_lines": {"order_id": "O1", "line_no": 1, "sku": "S1", "amount": "99.90"},
    "refunds": {
        "refund_id": "R1",
        "order_id": "O1",
        "refunded_at": "2018-03-06",
        "amount": "9.90",
    },
    "events": {
        "event_id": "E1",
        "customer_id": "C1",
        "name": "visit",
        "occurred_at": "2018-03-05",
        "properties": {"page": "home"},
    },
    "referrals": {
        "referral_id": "F1",
        "referrer_id": "C1",
        "referee_id": "C2",
        "occurred_at": "2018-03-05",
    },
}
IDS = ["C1", "O1", "O1/1", "R1", "E1", "F1"]


def send(client: APIClient, kind: str, body: Any, query: str = "") -> Any:
    return client.post(f"/api/v1/{kind}/bulk{query}", body, format="json")


def order(order_id: str, amount: Any = "10.00", **more: Any) -> dict[str, Any]:
    return {**ROWS["orders"], "order_id": order_id, "amount": amount, **more}


def statuses(response: Any) -> list[tuple[Any, ...]]:
    assert response.status_code == 200, response.content
    return [(each["id"], each["status"], each["code"]) for each in response.json()["results"]]


def test_every_kind_is_recorded_once(caller: Caller) -> None:
    client = caller("facts:write")
    assert list(ROWS) == list(KINDS)
    for status in ("inserted", "unchanged"):
        for (kind, row), id_ in zip(ROWS.items(), IDS, strict=True):
            response = send(client, kind, {"rows": [row]})
            assert response.status_code == 200
            assert response.json() == {
                "results": [
                    {"index": 0, "id": id_, "status": status, "code": None, "message": None}
                ]
            }
    batches = FactBatch.objects.exclude(kind="customers")
    assert {(batch.source, batch.actor) for batch in batches} == {
        ("api", "integration facts:write")
    }
    assert set(Customer.objects.values_list("external_id", "is_stub", "city")) == {
        ("C1", False, "上海"),
        ("C2", True, None),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_the_scope_is_needed(caller: Caller, kind: str) -> None:
    others = [scope for scope in SCOPES if scope != "facts:write"]
    response = send(caller(*others), kind, [ROWS[kind]])
    assert (response.status_code, response.json()["code"]) == (403, "permission_denied")
    assert "facts:write" in response.json()["message"]
    assert send(caller(), kind, [ROWS[kind]]).status_code == 401
    assert not FactBatch.objects.exists()


def test_a_bare_list_is_a_batch_too_and_may_be_empty(caller: Caller) -> None:
    client = caller("facts:write")
    assert statuses(send(client, "orders", [order("O1")])) == [("O1", "inserted", None)]
    assert statuses(send(client, "orders", [])) == []
    assert statuses(send(client, "orders", {"rows": []})) == []


def test_a_bad_row_never_rejects_the_good_ones(caller: Caller) -> None:
    rows = [
        order("O1"),
        order("O2", "10.001"),
        {"order_id": "O3"},
        order("O4", amount=-1),
        order("O5", surprise=1),
        "O6",
        None,
        order("O7"),
    ]
    response = send(caller("facts:write"), "orders", rows)
    found = statuses(response)
    assert [row[:2] for row in found] == [
        ("O1", "inserted"),
        ("O2", "rejected"),
        ("O3", "rejected"),
        ("O4", "rejected"),
        ("O5", "rejected"),
        (None, "rejected"),
        (None, "rejected"),
        ("O7", "inserted"),
    ]
    assert (found[1][2], found[4][2], found[5][2]) == (
        "too_precise",
        "unknown_column",
        "bad_type",
    )
    results = response.json()["results"]
    assert [each["index"] for each in results] == list(range(8))
    assert all(bool(each["message"]) == (each["status"] == "rejected") for each in results)
    assert sorted(Order.objects.values_list("external_id", flat=True)) == ["O1", "O7"]


@pytest.mark.parametrize(
    ("query", "extra"),
    [("?atomic=true", {}), ("", {"atomic": True}), ("?atomic=false", {"atomic": True})],
)
def test_atomic_records_all_or_nothing(caller: Caller, query: str, extra: dict[str, bool]) -> None:
    client = caller("facts:write")
    rows = [order("O1"), order("O2", "10.001"), "O3"]
    response = send(client, "orders", {"rows": rows, **extra}, query)
    assert statuses(response) == [
        ("O1", "rejected", "not_recorded"),
        ("O2", "rejected", "too_precise"),
        (None, "rejected", "bad_type"),
    ]
    assert not Order.objects.exists()
    assert not Customer.objects.exists()
    good = {"rows": [order("O1"), order("O2")], **extra}
    assert statuses(send(client, "orders", good, query)) == [
        ("O1", "inserted", None),
        ("O2", "inserted", None),
    ]


def test_of_repeated_ids_the_last_wins(caller: Caller) -> None:
    rows = [order("O1", "1.00"), order("O1", "2.00"), order("O1", "2.00")]
    assert statuses(send(caller("facts:write"), "orders", rows)) == [
        ("O1", "inserted", None),
        ("O1", "updated", None),
        ("O1", "unchanged", None),
    ]
    assert str(Order.objects.get().amount) == "2.0000"


def test_numbers_are_read_exactly(caller: Caller) -> None:
    client = caller("facts:write")
    body = (
        '[{"order_id": "O1", "customer_id": "C1", "placed_at": "2018-03-05", "amount": 0.10},'
        ' {"order_id": "O2", "customer_id": "C1", "placed_at": "2018-03-05", "amount": 9999999.99},'
        ' {"order_id": "O3", "customer_id": "C1", "placed_at": "2018-03-05", "amount": 0.105}]'
    )
    response = client.post("/api/v1/orders/bulk", body, content_type="application/json")
    assert statuses(response) == [
        ("O1", "inserted", None),
        ("O2", "inserted", None),
        ("O3", "rejected", "too_precise"),
    ]
    amounts = Order.objects.order_by("external_id").values_list("amount", flat=True)
    assert [str(amount) for amount in amounts] == ["0.1000", "9999999.9900"]


def test_a_column_left_out_stays_and_null_makes_it_missing(caller: Caller) -> None:
    client = caller("facts:write")
    send(client, "customers", [{"customer_id": "C1", "city": "Paris", "region": "IDF"}])
    assert statuses(send(client, "customers", [{"customer_id": "C1", "city": None}])) == [
        ("C1", "updated", None)
    ]
    known = Customer.objects.get()
    assert (known.city, known.region) == (None, "IDF")


def test_five_thousand_rows_and_not_one_more(caller: Caller) -> None:
    client = caller("facts:write")
    rows = [{"customer_id": f"C{n}"} for n in range(5001)]
    response = send(client, "customers", {"rows": rows})
    assert response.status_code == 422
    assert response.json() == {
        "code": "invalid",
        "message": "The batch was not read.",
        "details": [
            {
                "path": "/rows",
                "code": "too_many_rows",
                "message": "Send at most 5000 rows at a time; these are 5001.",
            }
        ],
    }
    assert not Customer.objects.exists()
    found = statuses(send(client, "customers", rows[:5000]))
    assert {row[1:] for row in found} == {("inserted", None)}
    assert Customer.objects.count() == 5000


@pytest.mark.parametrize(
    ("body", "query", "problems"),
    [
        ({}, "", [("/rows", "required")]),
        ({"rows": {}}, "", [("/rows", "required")]),
        ("text", "", [("/rows", "required")]),
        ({"rows": [], "atomic": "yes"}, "", [("/atomic", "wrong_type")]),
        ({"rows": []}, "?atomic=1", [("/atomic", "wrong_type")]),
        (
            {"row": [], "a/b": 1},
            "?atomic=",
            [
                ("/row", "unknown_key"),
                ("/a~1b", "unknown_key"),
                ("/rows", "required"),
                ("/atomic", "wrong_type"),
            ],
        ),
    ],
)
def test_all_problems_of_a_batch_come_at_once(
    caller: Caller, body: Any, query: str, problems: list[tuple[str, str]]
) -> None:
    response = send(caller("facts:write"), "orders", body, query)
    assert (response.status_code, response.json()["code"]) == (422, "invalid")
    details = response.json()["details"]
    assert [(each["path"], each["code"]) for each in details] == problems
    assert not FactBatch.objects.exists()


def test_why_a_row_was_rejected_is_said_in_the_callers_language(caller: Caller) -> None:
    client = caller("facts:write")
    rows = [{"customer_id": "C1"}, {"customer_id": ""}, {"customer_id": "C2", "bogus": 1}]
    said = {
        language: client.post(
            "/api/v1/customers/bulk", {"rows": rows, "atomic": True}, format="json",
            headers={"accept-language": language},
        ).json()["results"]
        for language in ("en", "zh-hans")
    }  # fmt: skip
    assert [row["code"] for row in said["zh-hans"]] == ["not_recorded", "missing", "unknown_column"]
    assert [row["code"] for row in said["en"]] == [row["code"] for row in said["zh-hans"]]
    assert said["zh-hans"][0]["message"].startswith("未记录")
    assert said["zh-hans"][1]["message"] == "customer_id：缺少必填值。"
    assert said["zh-hans"][2]["message"].startswith("bogus：")
    assert said["en"][1]["message"] == "customer_id is required."
