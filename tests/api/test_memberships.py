"""The member's own view, as a member with the app would get it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from membership.models import Membership, Program
from membership.services import member_view
from membership.services.applying import apply_document
from membership.services.definitions import definition_set
from segmentation.models import Customer, FactBatch, Run

from .conftest import Caller

pytestmark = pytest.mark.django_db
NOW = datetime(2018, 1, 1, tzinfo=UTC)
HIDDEN = {
    "key": "secret_lapsing",
    "label": {"en": "Whispered about", "zh-hans": "悄悄关注"},
    "purpose": "retention",
    "visibility": "hidden",
    "rule": {"metric": "orders_180d", "cmp": "gte", "value": 1},
}


def metric(key: str, unit: str, aggregate: dict[str, str]) -> dict[str, Any]:
    return {
        "key": key,
        "source": "orders",
        "aggregate": aggregate,
        # Without days, so that a program in another zone may use it.
        "window": {"days": 180} if key.endswith("180d") else {"all": True},
        "unit": unit,
    }


def program(key: str, *rules: dict[str, Any], zone: str = "Asia/Shanghai") -> dict[str, Any]:
    names = ["silver", "gold", "platinum"]
    return {
        "key": key,
        "label": {"en": f"The {key}", "zh-hans": f"{key}计划"},
        "timezone": zone,
        "version": {
            "effective_from": "2017-01-01",
            "keep_for": {"months": 12},
            "tiers": [
                {
                    "key": name,
                    "rank": rank,
                    "label": {"en": name.title(), "zh-hans": f"{name}级"},
                    "rule": rule,
                }
                for rank, (name, rule) in enumerate(zip(names, rules, strict=False), start=1)
            ],
        },
    }


def at_least(key: str, value: str) -> dict[str, Any]:
    return {"metric": key, "cmp": "gte", "value": value}


def define(*programs: dict[str, Any]) -> None:
    document = {
        "metrics": [
            metric("spend_180d", "money", {"fn": "sum", "field": "net_amount"}),
            metric("orders_180d", "count", {"fn": "count"}),
            metric("orders_ever", "count", {"fn": "count"}),
        ],
        "segments": [HIDDEN],
        "programs": list(programs),
    }
    apply_document(document, actor="operator", reason="test", now=NOW)


def publish(as_of: datetime = NOW) -> Run:
    return Run.objects.create(
        as_of=as_of,
        status=Run.Status.PUBLISHED,
        requested_by="test",
        requested_at=NOW,
        definition_set=definition_set(),
    )


def customer(external_id: str, ordinal: int = 0) -> Customer:
    batch = FactBatch.objects.create(kind="customers", source="import", recorded_at=NOW)
    return Customer.objects.create(external_id=external_id, ordinal=ordinal, batch=batch)


def hold(who: Customer, key: str, tier: str, rank: int, run: Run, until: datetime | None) -> None:
    Membership.objects.create(
        program=Program.objects.get(key=key),
        customer=who,
        tier=tier,
        rank=rank,
        since=datetime(2017, 6, 30, 18, tzinfo=UTC),
        until=until,
        run=run,
    )


@pytest.fixture
def values(monkeypatch: pytest.MonkeyPatch) -> dict[str, Fraction | None]:
    """What the newest run found for everybody."""
    found: dict[str, Fraction | None] = {
        "spend_180d": Fraction("1500.5"),
        "orders_180d": Fraction(3),
        "orders_ever": Fraction(3),
    }
    monkeypatch.setattr(member_view, "_values", lambda run, external_id, catalog: found)
    return found


@pytest.mark.usefixtures("values")
def test_a_member_sees_tier_dates_and_the_way_up(caller: Caller) -> None:
    define(
        program("gold", at_least("spend_180d", "1000"), at_least("spend_180d", "2000")),
        program("runners", at_least("orders_ever", "5"), zone="America/New_York"),
    )
    run = publish()
    hold(customer("C1"), "gold", "silver", 1, run, datetime(2018, 6, 30, 16, tzinfo=UTC))
    response = caller("members:read").get("/api/v1/customers/C1/memberships")
    assert response.status_code == 200
    assert response.json() == [
        {
            "program": "gold",
            "label": "The gold",
            "tier": "silver",
            "tier_label": "Silver",
            "since": "2017-07-01T02:00:00+08:00",
            "until": "2018-07-01T00:00:00+08:00",
            "grace_until": None,
            "progress": [
                {
                    "metric": "spend_180d",
                    "need": "2000.00",
                    "have": "1500.50",
                    "missing": "499.50",
                }
            ],
            "benefits": [],
            "rewards": [],
            "last_good_as_of": "2018-01-01T08:00:00+08:00",
            "last_error": None,
        },
        {
            "program": "runners",
            "label": "The runners",
            "tier": None,
            "tier_label": None,
            "since": None,
            "until": None,
            "grace_until": None,
            "progress": [{"metric": "orders_ever", "need": "5", "have": "3", "missing": "2"}],
            "benefits": [],
            "rewards": [],
            "last_good_as_of": "2018-01-01T08:00:00+08:00",
            "last_error": None,
        },
    ]


@pytest.mark.usefixtures("values")
def test_dates_are_the_programs_and_for_good_is_null(caller: Caller) -> None:
    """P06: the instant at which the tier ends, in the program's zone."""
    define(program("runners", at_least("orders_ever", "2"), zone="America/New_York"))
    run = publish()
    hold(customer("C1"), "runners", "silver", 1, run, datetime(2018, 7, 1, 4, tzinfo=UTC))
    hold(customer("C2", 1), "runners", "silver", 1, run, None)
    client = caller("members:read")
    first = client.get("/api/v1/customers/C1/memberships").json()[0]
    assert (first["since"], first["until"]) == (
        "2017-06-30T14:00:00-04:00",
        "2018-07-01T00:00:00-04:00",
    )
    assert client.get("/api/v1/customers/C2/memberships").json()[0]["until"] is None
    Membership.objects.update(grace_until=datetime(2018, 7, 31, 4, tzinfo=UTC))
    kept = client.get("/api/v1/customers/C1/memberships").json()[0]
    assert (kept["until"], kept["grace_until"]) == (
        "2018-07-01T00:00:00-04:00",
        "2018-07-31T00:00:00-04:00",
    )


@pytest.mark.usefixtures("values")
def test_names_come_in_the_language_asked_for(caller: Caller) -> None:
    define(program("gold", at_least("spend_180d", "1000")))
    hold(customer("C1"), "gold", "silver", 1, publish(), None)
    client = caller("members:read")
    for asked, label, tier_label in (
        ("zh-CN", "gold计划", "silver级"),
        ("zh-Hans", "gold计划", "silver级"),
        ("en-GB", "The gold", "Silver"),
        ("fr", "The gold", "Silver"),
    ):
        response = client.get(
            "/api/v1/customers/C1/memberships", headers={"accept-language": asked}
        )
        found = response.json()[0]
        assert (found["label"], found["tier_label"]) == (label, tier_label)


@pytest.mark.usefixtures("values")
def test_progress_is_null_at_the_top_and_for_rules_that_are_no_gaps(caller: Caller) -> None:
    either = {"any": [at_least("orders_180d", "5"), at_least("spend_180d", "5000")]}
    define(
        program("choice", either),
        program("top", at_least("orders_180d", "1")),
    )
    hold(customer("C1"), "top", "silver", 1, publish(), None)
    found = caller("members:read").get("/api/v1/customers/C1/memberships").json()
    assert [(each["program"], each["progress"]) for each in found] == [
        ("choice", None),
        ("top", None),
    ]


@pytest.mark.usefixtures("values")
def test_before_a_run_has_looked_there_is_no_progress(caller: Caller) -> None:
    define(program("gold", at_least("spend_180d", "1000")))
    customer("C1")
    client = caller("members:read")
    found = client.get("/api/v1/customers/C1/memberships").json()
    assert [(each["program"], each["tier"], each["progress"]) for each in found] == [
        ("gold", None, None)
    ]
    publish(datetime(2016, 12, 31, tzinfo=UTC))  # before the version is effective
    assert client.get("/api/v1/customers/C1/memberships").json() == found


def test_the_tier_of_an_older_version_keeps_its_place(
    caller: Caller, values: dict[str, Fraction | None]
) -> None:
    """A new tier below the held one changes neither its name nor the way up."""
    define(program("gold", at_least("spend_180d", "1000"), at_least("spend_180d", "2000")))
    hold(customer("C1"), "gold", "gold", 2, publish(), None)
    newer = program("gold", *(at_least("spend_180d", str(n)) for n in (1000, 2000, 3000)))
    newer["version"]["tiers"][1]["key"] = "rose"
    newer["version"]["tiers"][2]["key"] = "gold"
    apply_document({"programs": [newer]}, actor="operator", reason="test", now=NOW)
    publish()
    values["spend_180d"] = Fraction(0)
    found = caller("members:read").get("/api/v1/customers/C1/memberships").json()[0]
    assert (found["tier"], found["tier_label"], found["progress"]) == ("gold", "Platinum", None)


@pytest.mark.usefixtures("values")
@pytest.mark.parametrize("external_id", ["C 1", "a/b", "张三", "C1%", "bulk", "x/memberships"])
def test_ids_are_any_text(caller: Caller, external_id: str) -> None:
    customer(external_id)
    client = caller("members:read")
    response = client.get(f"/api/v1/customers/{quote(external_id, safe='')}/memberships")
    assert (response.status_code, response.json()) == (200, [])


@pytest.mark.parametrize("external_id", ["nobody", "c1", "C1%20", "%00"])
def test_an_unknown_customer_is_not_found(caller: Caller, external_id: str) -> None:
    customer("C1")
    response = caller("members:read").get(f"/api/v1/customers/{external_id}/memberships")
    assert response.status_code == 404
    assert (response.json()["code"], response.json()["details"]) == ("not_found", [])


@pytest.mark.usefixtures("values")
def test_while_the_newest_run_is_held_the_tiers_say_so(caller: Caller) -> None:
    """S07: the last good result answers, with its as-of; no words that only staff may read."""
    define(program("gold", at_least("spend_180d", "1000")))
    hold(customer("C1"), "gold", "silver", 1, publish(), None)
    held = Run.objects.create(
        as_of=NOW + timedelta(days=1),
        status=Run.Status.HELD,
        requested_by="test",
        requested_at=NOW,
        error="secret_lapsing",
    )
    client = caller("members:read", "segments:read_hidden")
    found = client.get("/api/v1/customers/C1/memberships").json()[0]
    assert (found["tier"], found["last_good_as_of"]) == ("silver", "2018-01-01T08:00:00+08:00")
    assert found["last_error"] == {
        "run": held.pk, "as_of": "2018-01-02T08:00:00+08:00", "status": "held", "code": "",
    }  # fmt: skip
    Run.objects.filter(pk=held.pk).update(status="published", definition_set=definition_set())
    found = client.get("/api/v1/customers/C1/memberships").json()[0]
    assert (found["last_good_as_of"], found["last_error"]) == ("2018-01-02T08:00:00+08:00", None)


@pytest.mark.usefixtures("values")
def test_nothing_hidden_shows(caller: Caller) -> None:
    """The customer is in a hidden segment; nothing of it is in the member's view."""
    define(program("gold", at_least("spend_180d", "1000"), at_least("orders_180d", "9")))
    hold(customer("C1"), "gold", "silver", 1, publish(), None)
    client = caller("members:read", "segments:read_hidden")
    for language in ("en", "zh-hans"):
        response = client.get(
            "/api/v1/customers/C1/memberships", headers={"accept-language": language}
        )
        text = response.content.decode()
        assert "silver" in text
        for secret in ("secret_lapsing", "Whispered", "悄悄关注", "segment", "hidden"):
            assert secret not in text


@pytest.mark.usefixtures("values")
def test_queries_do_not_grow_with_programs_or_customers(caller: Caller) -> None:
    """R16, S15."""
    define(program("p0", at_least("spend_180d", "1000")))
    hold(customer("C0"), "p0", "silver", 1, publish(), None)
    client = caller("members:read")

    def count() -> int:
        client.get("/api/v1/customers/C0/memberships")  # reads the definitions once
        with CaptureQueriesContext(
            connection,
        ) as found:
            assert client.get("/api/v1/customers/C0/memberships").status_code == 200
        return len(found)

    few = count()
    define(*(program(f"p{n}", at_least("orders_180d", "1")) for n in range(10)))
    run = publish()
    for n in range(1, 10):
        hold(customer(f"C{n}", n), f"p{n}", "silver", 1, run, None)
        hold(Customer.objects.get(external_id="C0"), f"p{n}", "silver", 1, run, None)
    assert count() == few
    # key, throttle, customer, programs, memberships, run, definitions, values between runs, what
    # went wrong since
    assert few == 9
