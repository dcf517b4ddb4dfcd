"""A customer's wishes: what each does at once, and the receipt for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.clock import real_now
from membership.queries import profile_document
from membership.services.explain import explain
from segmentation.models import (
    AccessRecord,
    Customer,
    FactBatch,
    FactVersion,
    Job,
    Objection,
    PrivacyRequest,
)
from segmentation.services.api_keys import create_api_key
from segmentation.services.jobs import execute_job, job_folder
from tests.fixtures.sample import AS_OF, HIDDEN_KEY, Shop, make_shop
from tests.fixtures.world import World, day

from .conftest import Caller
from .test_customers import DEFINED

pytestmark = pytest.mark.django_db
ADDRESS = "/api/v1/customers/C1000/privacy"


@pytest.fixture
def shop() -> Shop:
    return make_shop()


def ask(client: Any, address: str = ADDRESS, **sent: Any) -> Any:
    return client.post(address, sent, format="json")


def details(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 422, response.content
    return [(problem["path"], problem["code"]) for problem in response.json()["details"]]


def test_an_objection_and_taking_it_back(shop: Shop, caller: Caller) -> None:
    client = caller("customers:write", "customers:read")
    response = ask(client, kind="object")
    request = PrivacyRequest.objects.get()
    assert response.status_code == 200
    assert response.json() == {
        "receipt": request.receipt,
        "kind": "object",
        "status": "done",
        "requested_at": response.json()["requested_at"],
        "done_at": response.json()["requested_at"],
    }
    assert request.receipt.startswith("pr_")
    assert (request.customer_ref, request.via, request.done_at) == (
        "C1000", "api", request.requested_at,
    )  # fmt: skip
    objection = Objection.objects.get(customer=shop.customers[0])
    assert objection.objected_at == request.requested_at
    assert client.get("/api/v1/customers/C1000").json()["objects"] is True
    assert ask(client, kind="object").status_code == 200  # again: nothing but a receipt
    assert Objection.objects.get(customer=shop.customers[0]).objected_at == objection.objected_at
    assert client.get(f"/api/v1/privacy/{request.receipt}").json() == response.json()
    assert ask(client, kind="allow").status_code == 200
    assert not Objection.objects.filter(customer=shop.customers[0]).exists()
    kinds = PrivacyRequest.objects.order_by("pk").values_list("kind", flat=True)
    assert list(kinds) == ["object", "object", "allow"]


def test_withdrawing_consent_is_a_new_version(shop: Shop, caller: Caller) -> None:
    client = caller("customers:write", name="app")
    before = Customer.objects.get(external_id="C1000")
    assert before.consent_marketing is True
    assert ask(client, kind="withdraw_consent").status_code == 200
    after = Customer.objects.get(external_id="C1000")
    assert (after.consent_marketing, after.phone) == (False, before.phone)
    batch = FactBatch.objects.get(pk=after.batch_id)
    assert (batch.kind, batch.source, batch.actor, batch.updated, batch.generation) == (
        "customers", "api", "app customers:write", 1, None,
    )  # fmt: skip
    version = FactVersion.objects.get(kind="customers")
    assert (version.row_id, version.row["consent_marketing"]) == (before.pk, True)
    batches = FactBatch.objects.count()
    assert ask(client, kind="withdraw_consent").status_code == 200
    assert FactBatch.objects.count() == batches  # it was withdrawn already


@pytest.mark.parametrize(
    ("sent", "problems"),
    [
        ({}, [("/kind", "required")]),
        ({"kind": "forget"}, [("/kind", "unknown_value")]),
        ({"kind": ["object"]}, [("/kind", "unknown_value")]),
        ({"kind": "object", "confirm": "C1000"}, [("/confirm", "not_needed")]),
        ({"kind": "erase", "confirm": 1, "x": 2},
         [("/x", "unknown_key"), ("/confirm", "wrong_type")]),
        ({"kind": "erase"}, [("/confirm", "confirmation_required")]),
        ({"kind": "erase", "confirm": "C1001"}, [("/confirm", "confirmation_required")]),
    ],
)  # fmt: skip
def test_what_is_no_wish(
    shop: Shop, caller: Caller, sent: dict[str, Any], problems: list[tuple[str, str]]
) -> None:
    assert details(ask(caller("customers:write"), **sent)) == problems
    assert not PrivacyRequest.objects.exists()
    assert not Job.objects.exists()


def test_the_same_idempotency_key_is_one_receipt(shop: Shop, caller: Caller) -> None:
    client = caller("customers:write")
    headers = {"Idempotency-Key": "wish-1"}
    sent = {"kind": "export"}
    answers = [client.post(ADDRESS, sent, format="json", headers=headers) for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert (PrivacyRequest.objects.count(), Job.objects.count()) == (1, 1)
    other = client.post(ADDRESS, {"kind": "object"}, format="json", headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    elsewhere = ADDRESS.replace("C1000", "C1001")
    assert client.post(elsewhere, sent, format="json", headers=headers).status_code == 422
    assert (PrivacyRequest.objects.count(), Objection.objects.count()) == (1, 1)


def test_receipts_of_others(shop: Shop, caller: Caller) -> None:
    """A key with a row scope knows its customers' receipts and those it asked for itself."""
    receipt = ask(caller("customers:write"), kind="object").json()["receipt"]
    key = create_api_key("store", scopes=["customers:write"], home_stores=["S9"]).key
    client = caller()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert client.get(f"/api/v1/privacy/{receipt}").status_code == 404
    for wrong in ("pr_0", "%00", f"{receipt}/export"):
        response = caller("customers:write", name=wrong).get(f"/api/v1/privacy/{wrong}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.django_db(transaction=True)
def test_the_file_of_an_export(settings: Any, tmp_path: Path, caller: Caller) -> None:
    """What was recorded and promised, and no internal grouping (ADR 0020)."""
    settings.VAR_DIR = str(tmp_path)
    world = World()
    world.apply(DEFINED)
    world.record(
        "customers",
        {"customer_id": "C1", "name": "Li Lei", "phone": "13812345678", "unionid": "o6_union",
         "tag:taste": "salty", "tag:mood": "stormy"},
        {"customer_id": "C1", "city": "Ningbo"},
    )  # fmt: skip
    world.record("customers", {"customer_id": "C1", "city": "Hangzhou"})
    world.order("C1", "2026-01-20T10:00", "1200", payer_ref="P1")
    world.record("order_lines", {"order_id": "O1", "line_no": "1", "sku": "SKU-1",
                                 "amount": "1200", "cost": "77.77"})  # fmt: skip
    world.record("refunds", {"refund_id": "R1", "order_id": "O1", "amount": "5",
                             "refunded_at": "2026-01-21T10:00"})  # fmt: skip
    world.record("events", {"event_id": "E1", "customer_id": "C1", "name": "visit",
                            "occurred_at": "2026-01-20T09:00"})  # fmt: skip
    world.record("referrals", {"referral_id": "F1", "referrer_id": "C1", "referee_id": "friend",
                               "occurred_at": "2026-01-10T09:00"})  # fmt: skip
    world.run("2026-02-01")
    client = caller("customers:write", name="app")
    answer = ask(client, "/api/v1/customers/C1/privacy", kind="export")
    assert (answer.status_code, answer.json()["status"]) == (202, "pending")
    receipt = answer.json()["receipt"]
    assert client.get(f"/api/v1/privacy/{receipt}/export").status_code == 404
    job = execute_job(Job.objects.get(), clock=real_now)
    assert job.status == Job.Status.DONE, job.error
    assert client.get(f"/api/v1/privacy/{receipt}").json()["status"] == "done"
    found = client.get(f"/api/v1/privacy/{receipt}/export")
    assert found.status_code == 200
    document = found.json()
    assert document == json.loads((job_folder(job.pk) / "result").read_text("utf-8"))
    assert document["attributes"]["phone"] == "13812345678"  # theirs, in the clear
    assert document["tags"] == {
        "recorded": [
            {"group": "mood", "value": "stormy", "expires_at": None, "is_removed": False},
            {"group": "taste", "value": "salty", "expires_at": None, "is_removed": False},
        ],
        "public": {"buyer": ["big"], "taste": ["salty"]},
    }
    (order,) = document["orders"]
    assert (order["order_id"], order["amount"], order["payer_ref"]) == ("O1", "1200.0000", "P1")
    assert [line["sku"] for line in order["lines"]] == ["SKU-1"]
    assert [refund["refund_id"] for refund in order["refunds"]] == ["R1"]
    assert [event["external_id"] for event in document["events"]] == ["E1"]
    assert document["referrals"] == [
        {"referral_id": "F1", "role": "referrer", "occurred_at": "2026-01-10T01:00:00+00:00"}
    ]
    assert [(row["program"], row["tier"]) for row in document["memberships"]] == [("club", "gold")]
    assert [row["kind"] for row in document["transitions"]] == ["entry"]
    assert [version["row"]["city"] for version in document["earlier_versions"]] == [None, "Ningbo"]
    assert "object to personalised decisions" in document["statement"]
    for secret in ("spenders", "others", "whim", "friend", "77.77", "ordinal", "batch_id"):
        assert secret not in found.content.decode(), secret
    looks = AccessRecord.objects.order_by("pk").values_list(
        "kind", "actor", "subject_key", "details"
    )
    assert list(looks) == [
        ("privacy_export", "app customers:write", "C1", {"receipt": receipt}),
        ("privacy_export", "app customers:write", "C1", {"receipt": receipt}),
    ]  # made, and read


@pytest.mark.django_db(transaction=True)
def test_an_objection_counts_at_once_in_every_read(
    settings: Any, tmp_path: Path, caller: Caller
) -> None:
    """And from the next run on in the result itself; taking it back waits for the run after."""
    settings.VAR_DIR = str(tmp_path)
    world = World()
    world.apply(DEFINED)
    world.order("C1", "2026-01-20T10:00", "120")
    world.order("C2", "2026-01-20T10:00", "20")  # no spender, so in the hidden "others"
    run = world.run("2026-02-01")
    client = caller("customers:write", "segments:read", "segments:read_hidden")

    def members() -> list[str]:
        rows = client.get("/api/v1/segments/others/members").json()["results"]
        return [row["customer_id"] for row in rows]

    def explained() -> Any:
        zone = day("2026-02-01").tzinfo
        return explain("C2", subject="segment:others", run=run, zone=zone, currency="CNY")  # type: ignore[arg-type]

    assert (members(), profile_document("C2")["segments"]) == (["C2"], ["others"])
    assert (explained()["verdict"], explained()["objection"]) == (True, False)
    ask(client, "/api/v1/customers/C2/privacy", kind="object")
    assert (members(), profile_document("C2")["segments"]) == ([], [])
    assert (explained()["verdict"], explained()["objection"]) == (False, True)
    assert "C2" in world.members(run, "others")  # what was published stays as it was
    assert world.members(world.run("2026-02-02"), "others") == set()
    ask(client, "/api/v1/customers/C2/privacy", kind="allow")
    assert members() == []
    assert world.members(world.run("2026-02-03"), "others") == {"C2"}
    assert members() == ["C2"]


def test_a_failed_job_shows_on_the_receipt(shop: Shop, caller: Caller) -> None:
    client = caller("customers:write")
    receipt = ask(client, kind="export").json()["receipt"]
    Job.objects.update(status=Job.Status.FAILED)
    assert client.get(f"/api/v1/privacy/{receipt}").json()["status"] == "failed"
    assert HIDDEN_KEY not in str(AccessRecord.objects.all())
    assert PrivacyRequest.objects.get().requested_at > AS_OF
