"""Runs through the API: followed, and started once."""

from __future__ import annotations

from typing import Any

import pytest

from segmentation.models import RequestKey, Run
from segmentation.services.api_keys import create_api_key
from segmentation.services.request_keys import forget_old_keys
from tests.fixtures.sample import HIDDEN_KEY, Shop, make_shop

from .conftest import Caller

pytestmark = pytest.mark.django_db


def details(response: Any) -> list[tuple[str, str]]:
    return [(problem["path"], problem["code"]) for problem in response.json()["details"]]


@pytest.fixture
def shop() -> Shop:
    return make_shop()


def test_runs_come_newest_first_page_by_page(shop: Shop, caller: Caller) -> None:
    client = caller("runs:read")
    first = client.get("/api/v1/runs", {"limit": 2}).json()
    assert [row["status"] for row in first["results"]] == ["failed", "published"]
    rest = client.get(first["next"]).json()
    assert [row["run"] for row in rest["results"]] == [shop.run.base_run_id]
    assert rest["next"] is None
    published = client.get("/api/v1/runs", {"status": "published"}).json()
    assert [row["run"] for row in published["results"]] == [shop.run.pk, shop.run.base_run_id]
    assert published["results"][0] == {
        "run": shop.run.pk, "as_of": "2026-03-02T00:00:00+08:00", "status": "published",
        "requested_by": "operations_manager", "requested_at": "2026-03-02T00:00:00+08:00",
        "started_at": "2026-03-02T00:00:00+08:00", "finished_at": "2026-03-02T00:00:03+08:00",
        "customers": 6, "error": None, "decision": None, "decided_by": None, "decided_at": None,
        "decision_reason": None,
        "error_code": None, "attempts": 1, "next_attempt_at": None,
        "cancelled_by": None,
    }  # fmt: skip


def test_an_error_that_names_something_hidden_is_told_to_who_may_see_it(
    shop: Shop, caller: Caller
) -> None:
    failed = Run.objects.get(status="failed")
    assert HIDDEN_KEY in failed.error
    for scopes, is_told in ((["runs:read"], False), (["runs:read", "segments:read_hidden"], True)):
        client = caller(*scopes)
        for path in ("runs", f"runs/{failed.pk}"):
            text = client.get(f"/api/v1/{path}").content.decode()
            assert (HIDDEN_KEY in text) is is_told
            assert "Something went wrong" in text or is_told


def test_one_run_with_what_it_found(shop: Shop, caller: Caller) -> None:
    found = caller("runs:read").get(f"/api/v1/runs/{shop.run.pk}").json()
    assert found["segments"] == {"app_users": 6}
    assert found["tags"] == {"city_tier": {"first": 6, "second": 0}}
    assert found["layers"] == {"value_layer": {"high": 4}}
    assert found["programs"] == {"gold": {"silver": 4, "gold": 2}}
    assert found["seconds"] == {"mirror": 0.21, "metrics": 1.5, "rules": 0.4, "postgresql": 0.31}
    assert caller("runs:read", name="x").get("/api/v1/runs/999999").status_code == 404
    assert caller("runs:read", name="y").get(f"/api/v1/runs/{10**30}").status_code == 404


def test_a_run_is_queued_and_can_be_followed(caller: Caller) -> None:
    client = caller("runs:write", "runs:read")
    sent = {"as_of": "2026-03-01", "dry_run": True}
    response = client.post("/api/v1/runs", sent, format="json")
    run = Run.objects.get()
    assert response.status_code == 202
    assert response.json() == {
        "run": run.pk, "as_of": "2026-03-01T00:00:00+08:00", "status": "queued",
    }  # fmt: skip
    assert (run.is_dry_run, run.requested_by) == (True, "integration runs:write runs:read")
    followed = client.get(response["Location"]).json()
    assert (followed["run"], followed["status"], followed["segments"]) == (run.pk, "queued", None)


def test_the_same_idempotency_key_queues_one_run(caller: Caller) -> None:
    client, other = caller("runs:write"), caller("runs:write", "runs:read")
    sent = {"as_of": "2026-03-01"}

    def ask(who: Any, body: Any, key: str) -> Any:
        return who.post("/api/v1/runs", body, format="json", headers={"Idempotency-Key": key})

    first, again = ask(client, sent, "night-1"), ask(client, sent, "night-1")
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == again.json()
    assert Run.objects.count() == 1
    mismatch = ask(client, {"as_of": "2026-03-02"}, "night-1")
    assert (mismatch.status_code, mismatch.json()["code"]) == (422, "idempotency_mismatch")
    assert Run.objects.count() == 1
    # S17: while it waits it is everybody's run of that as-of.
    assert ask(client, sent, "night-2").json() == first.json()
    # The keys of another system are its own.
    assert ask(other, {"as_of": "2026-03-02"}, "night-1").status_code == 202
    assert Run.objects.count() == 2
    wrong = ask(client, sent, "x" * 201)
    assert (wrong.status_code, details(wrong)) == (422, [("/Idempotency-Key", "invalid_key")])
    used = RequestKey.objects.order_by("pk")[0]
    assert forget_old_keys(now=used.used_at) == 0
    RequestKey.objects.filter(pk=used.pk).update(used_at=used.used_at.replace(year=2001))
    assert forget_old_keys(now=used.used_at) == 1


def test_without_a_key_each_request_is_a_run(caller: Caller) -> None:
    client = caller("runs:write")
    for _ in range(2):
        assert client.post("/api/v1/runs", {}, format="json").status_code == 202
    assert Run.objects.count() == 2


@pytest.mark.parametrize(
    ("sent", "problems"),
    [
        ({"as_of": "0001-01-01T00:00"}, [("/as_of", "out_of_range")]),
        ({"as_of": "9999-12-31"}, [("/as_of", "out_of_range")]),
        ({"as_of": "yesterday", "dry_run": 1, "x": 1},
         [("/x", "unknown_key"), ("/as_of", "wrong_type"), ("/dry_run", "wrong_type")]),
        ({"as_of": 5}, [("/as_of", "wrong_type")]),
        ([], [("", "wrong_type")]),
    ],
)  # fmt: skip
def test_what_is_no_run(caller: Caller, sent: Any, problems: list[tuple[str, str]]) -> None:
    response = caller("runs:write").post("/api/v1/runs", sent, format="json")
    assert (response.status_code, details(response)) == (422, problems)
    assert Run.objects.count() == 0


def test_reading_is_not_starting(caller: Caller) -> None:
    assert caller("runs:read").post("/api/v1/runs", {}, format="json").status_code == 403
    assert caller("runs:write").get("/api/v1/runs").status_code == 403
    assert Run.objects.count() == 0


def test_a_key_with_a_row_scope_is_told_no_counts_of_others(shop: Shop, caller: Caller) -> None:
    key = create_api_key("s", scopes=["runs:read"], home_stores=["S9"]).key
    client = caller()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    found = client.get(f"/api/v1/runs/{shop.run.pk}").json()
    assert (found["segments"], found["tags"], found["programs"]) == ({"app_users": 0}, None, None)
    assert found["customers"] is None
    assert {row["customers"] for row in client.get("/api/v1/runs").json()["results"]} == {None}


def test_a_run_is_stopped(caller: Caller) -> None:
    client = caller("runs:cancel", "runs:write")
    run = client.post("/api/v1/runs", {}, format="json").json()["run"]
    address = f"/api/v1/runs/{run}/cancel"
    assert caller("runs:write", "runs:read").post(address).status_code == 403
    assert Run.objects.get().status == "queued"
    answers = [client.post(address) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [202, 202]
    found = answers[0].json()
    assert answers[1].json() == found
    assert (found["run"], found["status"], found["error_code"]) == (run, "failed", "cancelled")
    assert found["cancelled_by"] == "integration runs:cancel runs:write"
    assert client.get(address).status_code in (403, 405)


def test_a_run_under_way_is_told_to_stop(shop: Shop, caller: Caller) -> None:
    Run.objects.filter(pk=shop.run.pk).update(status="running", lease_owner="x")
    found = caller("runs:cancel").post(f"/api/v1/runs/{shop.run.pk}/cancel").json()
    assert (found["status"], found["cancelled_by"]) == ("running", "integration runs:cancel")
    assert Run.objects.get(pk=shop.run.pk).cancelled_at is not None


@pytest.mark.parametrize("status", ["published", "held", "historical", "failed", "dry_run"])
def test_it_is_too_late_to_stop_a_run(shop: Shop, caller: Caller, status: str) -> None:
    Run.objects.filter(pk=shop.run.pk).update(status=status)
    answer = caller("runs:cancel").post(f"/api/v1/runs/{shop.run.pk}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (422, "wrong_state")
    left = Run.objects.get(pk=shop.run.pk)
    assert (left.status, left.cancelled_at) == (status, None)
    for number in (999999, 10**30):
        missing = caller("runs:cancel", name=str(number)).post(f"/api/v1/runs/{number}/cancel")
        assert missing.status_code == 404
