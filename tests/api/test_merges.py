"""Merging through the API: asked for once, followed, undone; the old id says where it went."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.test import APIClient

from config.clock import real_now
from membership.services.erasure import erase_from_database
from segmentation.models import ApiKey, Customer, CustomerMerge, Job, Order
from segmentation.permissions import visible_merges
from segmentation.services import privacy
from segmentation.services.api_keys import create_api_key
from segmentation.services.jobs import execute_job
from tests.fixtures.world import CLUB, World

pytestmark = pytest.mark.django_db(transaction=True)
ADDRESS = "/api/v1/customers/OLD/merge"


@pytest.fixture
def world() -> World:
    world = World()
    world.apply(CLUB)
    world.record(
        "customers",
        {"customer_id": "OLD", "home_store": "S1"},
        {"customer_id": "NEW", "home_store": "S1"},
        {"customer_id": "FAR", "home_store": "S9"},
    )
    world.order("OLD", "2026-01-20T10:00", "600")
    return world


def caller(*scopes: str, **more: Any) -> APIClient:
    client = APIClient()
    name = f"crm {ApiKey.objects.count()}"
    key = create_api_key(name, scopes=list(scopes), **more).key
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


def run(job: int) -> None:
    done = execute_job(Job.objects.get(pk=job), clock=real_now)
    assert done.status == Job.Status.DONE, done.error


def test_asked_for_once_done_followed_and_undone(world: World) -> None:
    client = caller("customers:read", "customers:write", "facts:write")
    sent = {"into": "NEW", "reason": "same phone"}
    answers = [
        client.post(ADDRESS, sent, format="json", headers={"idempotency-key": "m1"})
        for _ in range(2)
    ]
    assert [answer.status_code for answer in answers] == [202, 202]
    number = answers[0].json()["merge"]
    assert answers[1].json()["merge"] == number
    assert answers[0].json()["status"] == "pending"
    job = Job.objects.get(kind="merge_customers")
    world.order("OLD", "2026-01-21T10:00", "7")  # while it waits: nobody was shown anything
    other = client.post(
        ADDRESS, {**sent, "into": "FAR"}, format="json", headers={"idempotency-key": "m1"}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    run(job.pk)
    replayed = client.post(ADDRESS, sent, format="json", headers={"idempotency-key": "m1"})
    assert (replayed.status_code, replayed.json()["merge"]) == (202, number)
    assert Job.objects.filter(kind="merge_customers").count() == 1
    state = client.get(f"/api/v1/merges/{number}").json()
    assert (state["status"], state["merged"], state["into"]) == ("done", "OLD", "NEW")
    gone = client.get("/api/v1/customers/OLD")
    assert (gone.status_code, gone.json()["code"]) == (404, "merged")
    assert gone.json()["details"] == [
        {"path": "/customer_id", "code": "merged_into", "message": "NEW"}
    ]
    assert client.get("/api/v1/customers/NEW").status_code == 200
    order = {"order_id": "X1", "customer_id": "OLD", "placed_at": "2026-01-25T10:00:00+08:00",
             "amount": "5"}  # fmt: skip
    sent_facts = client.post("/api/v1/orders/bulk", [order], format="json")
    assert sent_facts.status_code == 200, sent_facts.content
    assert Order.objects.get(external_id="X1").customer.external_id == "NEW"
    undone = client.post(f"/api/v1/merges/{number}/undo", {"reason": "two"}, format="json")
    assert undone.status_code == 202
    run(Job.objects.get(kind="undo_merge").pk)
    assert client.get(f"/api/v1/merges/{number}").json()["status"] == "undone"
    assert client.get("/api/v1/customers/OLD").status_code == 200
    assert Order.objects.get(external_id="X1").customer.external_id == "OLD"
    again = client.post(f"/api/v1/merges/{number}/undo", {"reason": "two"}, format="json")
    assert (again.status_code, again.json()["code"]) == (422, "undone")


def test_what_is_refused_does_nothing(world: World) -> None:
    client = caller("customers:write")
    for sent, code, path in (
        ({}, "required", "/into"),
        ({"into": "NEW"}, "required", "/reason"),
        ({"into": "nobody", "reason": "x"}, "unknown_customer", "/into"),
        ({"into": 7, "reason": "x"}, "wrong_type", "/into"),
        ({"into": "NEW", "reason": "x", "more": 1}, "unknown_key", "/more"),
    ):
        answer = client.post(ADDRESS, sent, format="json")
        assert answer.status_code == 422, sent
        assert {"path": path, "code": code} in [
            {"path": each["path"], "code": each["code"]} for each in answer.json()["details"]
        ], answer.json()
    itself = client.post(ADDRESS, {"into": "OLD", "reason": "x"}, format="json")
    assert (itself.status_code, itself.json()["code"]) == (422, "same_customer")
    assert (
        caller("customers:read")
        .post(ADDRESS, {"into": "NEW", "reason": "x"}, format="json")
        .status_code
        == 403
    )
    scoped = caller("customers:write", home_stores=["S1"])
    far = scoped.post(ADDRESS, {"into": "FAR", "reason": "x"}, format="json")
    assert far.json()["details"][0]["code"] == "unknown_customer"
    theirs = scoped.post(
        "/api/v1/customers/FAR/merge", {"into": "NEW", "reason": "x"}, format="json"
    )
    assert theirs.status_code == 404
    assert client.get("/api/v1/merges/1").status_code == 404
    assert not Job.objects.exists()
    assert not CustomerMerge.objects.exists()
    assert not Customer.objects.filter(merged_into__isnull=False).exists()


def test_of_a_chain_the_first_merge_is_not_undone_first(world: World) -> None:
    client = caller("customers:write")
    numbers = []
    for old, into in (("OLD", "NEW"), ("NEW", "FAR")):
        address = f"/api/v1/customers/{old}/merge"
        asked = client.post(address, {"into": into, "reason": "x"}, format="json")
        numbers.append(asked.json()["merge"])
        run(Job.objects.get(kind="merge_customers", status="queued").pk)
    answer = client.post(f"/api/v1/merges/{numbers[0]}/undo", {"reason": "two"}, format="json")
    assert (answer.status_code, answer.json()["code"]) == (422, "merged_again")
    assert not Job.objects.filter(kind="undo_merge").exists()
    last = client.post(f"/api/v1/merges/{numbers[1]}/undo", {"reason": "two"}, format="json")
    assert last.status_code == 202


def test_after_an_undo_one_may_be_erased_alone(world: World) -> None:
    client = caller("customers:write")
    number = client.post(ADDRESS, {"into": "NEW", "reason": "x"}, format="json").json()["merge"]
    run(Job.objects.get(kind="merge_customers").pk)
    client.post(f"/api/v1/merges/{number}/undo", {"reason": "two"}, format="json")
    run(Job.objects.get(kind="undo_merge").pk)
    by = privacy.Bringer("a", "admin")
    old = Customer.objects.get(external_id="OLD")
    asked = privacy.request_erasure(old, confirmation="OLD", by=by, now=real_now())
    erase_from_database(asked, now=real_now())
    state = client.get(f"/api/v1/merges/{number}").json()
    assert (state["status"], state["merged"], state["into"]) == ("undone", None, None)
    assert not visible_merges(User.objects.create_superuser("root")).exists()


def test_a_key_of_other_stores_is_told_nothing_about_a_merged_id(world: World) -> None:
    client = caller("customers:write")
    number = client.post(ADDRESS, {"into": "NEW", "reason": "x"}, format="json").json()["merge"]
    run(Job.objects.get(kind="merge_customers").pk)
    stranger = caller("customers:read", "customers:write", home_stores=["S9"])
    answer = stranger.get("/api/v1/customers/OLD")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "NEW" not in answer.content.decode()
    assert stranger.get(f"/api/v1/merges/{number}").status_code == 404
