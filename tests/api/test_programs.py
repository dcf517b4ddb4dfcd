"""Published terms: what a tier asks for, in the language asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from membership.services.applying import apply_document
from segmentation.models import Run

from .conftest import Caller
from .test_memberships import NOW, at_least, define, metric, program, publish

pytestmark = pytest.mark.django_db


def test_the_terms_of_a_program(caller: Caller) -> None:
    rule = {"all": [at_least("spend_180d", "1000.50"), at_least("orders_ever", "3")]}
    define(program("club", at_least("orders_180d", "1"), rule))
    client = caller("members:read")
    found = client.get("/api/v1/programs/club").json()
    threshold = {"label": "spend_180d", "unit": "money", "cmp": "gte", "value": "1000.5"}
    assert found == {
        "key": "club",
        "label": "The club",
        "timezone": "Asia/Shanghai",
        "version": {
            "number": 1,
            "effective_from": "2017-01-01",
            "qualification": "rolling",
            "upgrade": "immediate",
            "keep_for": {"years": 0, "months": 12, "days": 0},
            "grace": {"years": 0, "months": 0, "days": 0},
            "downgrade": "one_level",
            "tiers": [
                {
                    "key": "silver",
                    "rank": 1,
                    "label": "Silver",
                    "condition": "orders_180d (past 180 days, without today): at least 1",
                    "thresholds": [
                        {
                            "metric": "orders_180d", "label": "orders_180d", "unit": "count",
                            "cmp": "gte", "value": "1",
                        }
                    ],
                },
                {
                    "key": "gold",
                    "rank": 2,
                    "label": "Gold",
                    "condition": "spend_180d (past 180 days, without today): at least 1000.5 and"
                    " orders_ever (all history): at least 3",
                    "thresholds": [
                        {"metric": "spend_180d", **threshold},
                        {
                            "metric": "orders_ever", "label": "orders_ever", "unit": "count",
                            "cmp": "gte", "value": "3",
                        },
                    ],
                },
            ],
        },
        "announced": [],
        "last_good_as_of": None,
        "last_error": None,
    }  # fmt: skip
    listed = client.get("/api/v1/programs").json()
    assert listed == {"next": None, "results": [found]}


def test_while_the_newest_run_is_held_the_program_says_so(caller: Caller) -> None:
    """S07; a program that no run has looked at has no good as-of."""
    define(program("club", at_least("spend_180d", "1000")))
    good = publish()
    define(program("later", at_least("spend_180d", "1000")))
    held = Run.objects.create(
        as_of=NOW + timedelta(days=1), status=Run.Status.HELD, requested_by="test",
        requested_at=NOW, error="secret_lapsing",
    )  # fmt: skip
    client = caller("members:read")
    trouble = {
        "run": held.pk, "as_of": "2018-01-02T08:00:00+08:00", "status": "held", "code": "",
    }  # fmt: skip
    listed = client.get("/api/v1/programs").json()["results"]
    assert [(row["key"], row["last_good_as_of"], row["last_error"]) for row in listed] == [
        ("club", "2018-01-01T08:00:00+08:00", trouble), ("later", None, trouble),
    ]  # fmt: skip
    assert client.get("/api/v1/programs/club").json() == listed[0]
    Run.objects.filter(pk=held.pk).update(status="failed", decision="rejected", as_of=good.as_of)
    Run.objects.filter(pk=good.pk).update(as_of=NOW + timedelta(days=2))
    found = client.get("/api/v1/programs/club").json()
    assert (found["last_good_as_of"], found["last_error"]) == ("2018-01-03T08:00:00+08:00", None)


def test_in_chinese(caller: Caller) -> None:
    define(program("club", at_least("spend_180d", "1000")))
    headers = {"accept-language": "zh-CN,zh;q=0.9"}
    response = caller("members:read").get("/api/v1/programs/club", headers=headers)
    assert response["Content-Language"] == "zh-hans"
    assert response["Vary"].casefold().find("accept-language") >= 0
    found = response.json()
    assert (found["label"], found["version"]["tiers"][0]["label"]) == ("club计划", "silver级")
    assert "过去180天" in found["version"]["tiers"][0]["condition"]


def test_rules_that_are_no_list_of_thresholds(caller: Caller) -> None:
    rule: dict[str, Any] = {
        "any": [
            {"all": [at_least("orders_ever", "3"),
                     {"attr": "is_staff", "cmp": "eq", "value": True}]},
            {"not": {"attr": "city", "cmp": "in", "value": ["Hangzhou", "Ningbo"]}},
            {"attr": "region", "cmp": "is_not_set"},
        ]
    }  # fmt: skip
    define(program("club", rule))
    tier = caller("members:read").get("/api/v1/programs/club").json()["version"]["tiers"][0]
    assert tier["thresholds"] is None
    assert tier["condition"] == (
        "(orders_ever (all history): at least 3 and Is staff: equal to yes)"
        " or not (City: one of Hangzhou, Ningbo) or Region: absent"
    )


def test_what_is_announced_and_what_is_retired(caller: Caller) -> None:
    later = program("later", at_least("orders_ever", "1"))
    later["version"]["effective_from"] = "2099-01-01"
    define(later, program("old", at_least("orders_ever", "1")))
    apply_document({"programs": [{"key": "old", "retired": True}]}, actor="t", reason="t", now=NOW)
    client = caller("members:read")
    listed = client.get("/api/v1/programs").json()["results"]
    assert [row["key"] for row in listed] == ["later"]
    assert listed[0]["version"] is None
    assert [version["effective_from"] for version in listed[0]["announced"]] == ["2099-01-01"]
    for key in ("old", "nothing"):
        assert client.get(f"/api/v1/programs/{key}").status_code == 404


def test_pages_by_key(caller: Caller) -> None:
    define(*(program(key, at_least("orders_ever", "1")) for key in ("b", "a", "c")))
    client = caller("members:read")
    page = client.get("/api/v1/programs", {"limit": 2}).json()
    assert [row["key"] for row in page["results"]] == ["a", "b"]
    rest = client.get(page["next"]).json()
    assert ([row["key"] for row in rest["results"]], rest["next"]) == (["c"], None)
    assert metric("x_180d", "count", {"fn": "count"})["window"] == {"days": 180}
