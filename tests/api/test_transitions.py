"""Following transitions: nothing lost, nothing twice, whatever is published between two polls."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from membership.models import Transition
from segmentation.models import Customer, FactBatch, Run
from segmentation.services.api_keys import create_api_key
from tests.fixtures.sample import AS_OF, Shop, make_shop

from .conftest import Caller

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop() -> Shop:
    return make_shop()


def publish(shop: Shop, *, days: int, kind: str = "upgrade", people: int = 3) -> list[int]:
    run = Run.objects.create(
        as_of=AS_OF + timedelta(days=days), status="published", requested_by="t",
        requested_at=AS_OF,
    )  # fmt: skip
    version = shop.program.versions.get()
    made = [
        Transition.objects.create(
            program=shop.program, customer=person, run=run, version=version, kind=kind,
            from_tier="silver", to_tier="gold", at=run.as_of, since=run.as_of,
            reasons=["qualifies_higher"], values={"net_spend_365d": "10230.50"},
        )
        for person in shop.customers[:people]
    ]  # fmt: skip
    return [row.pk for row in made]


def get(client: Any, **parameters: Any) -> Any:
    response = client.get("/api/v1/transitions", parameters)
    assert response.status_code == 200, response.content
    return response.json()


def ids(page: Any) -> list[int]:
    return [row["id"] for row in page["results"]]


def test_a_row_as_it_is_shown(shop: Shop, caller: Caller) -> None:
    row = Transition.objects.order_by("pk")[0]
    found = get(caller("members:read"), limit=1)
    assert found["results"] == [
        {
            "id": row.pk, "customer_id": "C1000", "program": "gold", "kind": "entry",
            "from_tier": None, "to_tier": "silver", "at": "2026-03-02T00:00:00+08:00",
            "since": "2026-03-02T00:00:00+08:00", "until": "2027-03-02T00:00:00+08:00",
            "grace_until": None, "reasons": ["qualifies"], "values": {"net_spend_365d": "2480.50"},
            "run": shop.run.pk,
            "between_runs": False,
        }
    ]  # fmt: skip
    assert found["since"] == str(row.pk)


def test_polling_loses_nothing_and_repeats_nothing(shop: Shop, caller: Caller) -> None:
    client = caller("members:read")
    everything = list(Transition.objects.order_by("pk").values_list("pk", flat=True))
    seen, since = [], None
    for published in range(3):
        while True:
            page = get(client, limit=2, **({} if since is None else {"since": since}))
            seen += ids(page)
            since = page["since"]
            if not page["results"]:
                break
        assert seen == everything
        everything += publish(shop, days=published + 1)
    page = get(client, since=since)
    assert seen + ids(page) == everything
    assert get(client, since=page["since"]) == {
        "next": None, "since": page["since"], "results": [],
    }  # fmt: skip


def test_links_lead_through_the_same_rows(shop: Shop, caller: Caller) -> None:
    client = caller("members:read")
    page = get(client, limit=4, program="gold")
    rest = client.get(page["next"]).json()
    assert ids(page) + ids(rest) == list(
        Transition.objects.order_by("pk").values_list("pk", flat=True)
    )
    assert rest["next"] is None
    # The since of any page leads on from there.
    assert ids(get(client, since=page["since"])) == ids(rest)


def test_since_an_instant_begins_with_its_runs(shop: Shop, caller: Caller) -> None:
    client = caller("members:read")
    new = publish(shop, days=2)
    assert ids(get(client, since="2026-03-04T00:00:00+08:00")) == new
    assert ids(get(client, since="2026-03-04")) == new  # local midnight
    assert ids(get(client, since="2026-03-03")) == new
    empty = get(client, since="2026-03-05")
    assert (empty["results"], empty["since"]) == ([], "2026-03-05")
    later = publish(shop, days=3)
    assert ids(get(client, since=empty["since"])) == later


def test_before_there_is_anything(caller: Caller) -> None:
    assert get(caller("members:read")) == {"next": None, "since": None, "results": []}


def test_only_one_program(shop: Shop, caller: Caller) -> None:
    client = caller("members:read")
    assert len(get(client, program="gold")["results"]) == 6
    assert get(client, program="other")["results"] == []


@pytest.mark.parametrize("since", ["x", "-1", "1" * 19, "٣", "2026-13-01", "1.5"])
def test_a_since_that_is_none(shop: Shop, caller: Caller, since: str) -> None:
    response = caller("members:read").get("/api/v1/transitions", {"since": since, "limit": "x"})
    assert response.status_code == 422
    paths = [problem["path"] for problem in response.json()["details"]]
    assert sorted(paths) == ["/limit", "/since"]


def test_a_row_scope_sees_its_own(shop: Shop, caller: Caller) -> None:
    batch = FactBatch.objects.create(kind="customers", source="import", recorded_at=AS_OF)
    Customer.objects.filter(pk=shop.customers[4].pk).update(home_store="S2", batch=batch)
    client = caller()
    key = create_api_key("store", scopes=["members:read"], home_stores=["S2"]).key
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    assert [row["customer_id"] for row in get(client)["results"]] == ["C1004"]
