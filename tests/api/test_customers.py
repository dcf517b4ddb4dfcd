"""One customer through the API: masked, public tags only, inside the key's row scope."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segmentation.models import AccessRecord, ApiKey, Customer
from segmentation.services.api_keys import create_api_key
from tests.fixtures.world import CLUB, World

from .conftest import Caller

pytestmark = pytest.mark.django_db(transaction=True)
DEFINED: dict[str, Any] = {
    **CLUB,
    "tags": [
        {"group": "taste", "exclusive": False, "public": True, "values": ["sweet", "salty"]},
        {"group": "mood", "exclusive": True, "public": False, "values": ["stormy"]},
        {
            "group": "buyer", "exclusive": True, "public": True,
            "rules": [{"value": "big", "rule": {"metric": "spend", "cmp": "gte", "value": 500}},
                      {"value": "small", "rule": {"metric": "spend", "cmp": "gt", "value": 0}}],
        },
        {
            "group": "whim", "exclusive": True,
            "rules": [{"value": "whimsical", "rule": {"metric": "spend", "cmp": "gt", "value": 0}}],
        },
    ],
}  # fmt: skip


@pytest.fixture
def world(settings: Any, tmp_path: Path) -> World:
    settings.VAR_DIR = str(tmp_path)
    world = World()
    world.apply(DEFINED)
    world.record(
        "customers",
        {
            "customer_id": "C/1 中", "name": "Li Lei", "phone": "13812345678", "city": "Hangzhou",
            "email": "li.lei@example.com", "gender": "male", "birth_date": "1990-05-04",
            "home_store": "S1", "unionid": "o6_bmasdasdsad6_2sgVt7hMZOPfL", "is_staff": "false",
            "registered_at": "2025-01-01", "consent_marketing": "true", "consent_at": "2025-01-02",
            "tag:taste": "salty", "tag:mood": "stormy",
        },
    )  # fmt: skip
    world.order("C/1 中", "2026-01-20T10:00", "1200")
    world.order("stub", "2026-01-20T10:00", "120")
    world.run("2026-02-01")
    return world


ADDRESS = "/api/v1/customers/C%2F1%20%E4%B8%AD"


def test_everything_that_may_be_shown(world: World, caller: Caller) -> None:
    found = caller("customers:read").get(ADDRESS)
    assert found.status_code == 200
    assert found.json() == {
        "customer_id": "C/1 中",
        "name": "Li Lei",
        "gender": "male",
        "city": "Hangzhou",
        "region": None,
        "channel": None,
        "home_store": "S1",
        "is_staff": False,
        "consent_marketing": True,
        "is_stub": False,
        "phone": "138••••78",
        "email": "l••••@example.com",
        "birth_date": "1990-05-04",
        "registered_at": "2025-01-01T00:00:00+08:00",
        "consent_at": "2025-01-02T00:00:00+08:00",
        "objects": False,
        "tags": {"buyer": ["big"], "taste": ["salty"]},
        "memberships": [
            {
                "program": "club",
                "tier": "gold",
                "since": "2026-02-01T00:00:00+08:00",
                "until": "2026-03-01T00:00:00+08:00",
                "grace_until": None,
            }
        ],
    }
    for secret in ("stormy", "whimsical", "others", "spenders", "12345678", "li.lei", "o6_bm"):
        assert secret not in found.content.decode()


def test_each_read_is_written_down_as_at_the_desk(world: World, caller: Caller) -> None:
    client = caller("customers:read")
    for address in (ADDRESS, "/api/v1/customers/nobody", f"{ADDRESS}?phone=1"):
        client.get(address)
    record = AccessRecord.objects.get()
    assert (record.kind, record.via, record.rows) == ("view_customer", "api", 1)
    assert (record.subject_kind, record.subject_key) == ("customer", "C/1 中")
    assert record.actor == ApiKey.objects.get().name


def test_a_stub_is_a_customer_too(world: World, caller: Caller) -> None:
    found = caller("customers:read").get("/api/v1/customers/stub").json()
    assert (found["is_stub"], found["phone"], found["tags"]) == (
        True, None, {"buyer": ["small"], "taste": []},
    )  # fmt: skip


@pytest.mark.parametrize("address", ["nobody", "C", "%00", "C%2F1", "c%2F1%20%E4%B8%AD"])
def test_nobody_else(world: World, caller: Caller, address: str) -> None:
    client = caller("customers:read", "members:read")
    for path in (f"customers/{address}", f"customers/{address}/memberships"):
        response = client.get(f"/api/v1/{path}")
        assert (response.status_code, response.json()["code"]) == (404, "not_found")


def test_the_row_scope_of_a_key(world: World, caller: Caller) -> None:
    """A customer of another store is as unknown as one that does not exist, to every endpoint."""
    scopes = ["customers:read", "customers:write", "members:read"]
    clients = {}
    for store in ("S1", "S2"):
        client = caller()
        key = create_api_key(store, scopes=scopes, home_stores=[store]).key
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
        clients[store] = client
    assert clients["S1"].get(ADDRESS).status_code == 200
    assert clients["S1"].get(f"{ADDRESS}/memberships").status_code == 200
    assert clients["S1"].get("/api/v1/customers/stub").status_code == 404  # of no store
    for path in (ADDRESS, f"{ADDRESS}/memberships"):
        assert clients["S2"].get(path).status_code == 404
    wish = clients["S2"].post(f"{ADDRESS}/privacy", {"kind": "object"}, format="json")
    assert wish.status_code == 404
    assert not Customer.objects.filter(objection__isnull=False).exists()
    assert clients["S2"].get("/api/v1/transitions").json()["results"] == []
    assert len(clients["S1"].get("/api/v1/transitions").json()["results"]) == 1


def test_parameters_are_refused(world: World, caller: Caller) -> None:
    response = caller("customers:read").get(f"{ADDRESS}?fields=name")
    assert response.status_code == 422
    assert response.json()["details"] == [
        {
            "path": "/fields",
            "code": "unknown_parameter",
            "message": "There are no parameters here.",
        }
    ]
    assert ApiKey.objects.count() == 1
