"""Segments through the API: what a key may see, page by page, and what is written down."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pyroaring import BitMap

from segmentation.api.parameters import closed
from segmentation.api.segments import shown_instant
from segmentation.models import AccessRecord, Customer, Objection, Run, SegmentResult
from segmentation.services.api_keys import create_api_key
from tests.fixtures.sample import (
    AS_OF,
    HIDDEN_KEY,
    HIDDEN_LABEL_EN,
    HIDDEN_LABEL_ZH,
    HIDDEN_SIZE,
    Shop,
    make_shop,
)

from .conftest import Caller

pytestmark = pytest.mark.django_db
SEEING = ("segments:read", "segments:read_hidden")


@pytest.fixture
def shop() -> Shop:
    return make_shop()


def get(client: Any, path: str, **parameters: Any) -> Any:
    response = client.get(f"/api/v1/{path}", parameters)
    assert response.status_code == 200, response.content
    return response.json()


def refused(client: Any, path: str, **parameters: Any) -> list[tuple[str, str]]:
    response = client.get(f"/api/v1/{path}", parameters)
    assert response.status_code == 422, response.content
    assert response.json()["code"] == "invalid"
    return [(problem["path"], problem["code"]) for problem in response.json()["details"]]


def put_members(shop: Shop, *, hidden: bool, members: set[int], run: Run | None = None) -> None:
    """Another result in place of the sample's: results are immutable, so it is made anew."""
    segment = shop.hidden if hidden else shop.segment
    SegmentResult.objects.filter(segment=segment, run=run or shop.run).delete()
    stored = BitMap(members).serialize()
    SegmentResult.objects.create(
        run=run or shop.run, segment=segment, size=len(members), entered_count=len(members),
        left_count=0, members=stored, entered=stored, left=BitMap().serialize(),
    )  # fmt: skip


def test_the_list_has_sizes_of_the_newest_run(shop: Shop, caller: Caller) -> None:
    failed = Run.objects.get(status=Run.Status.FAILED)
    found = get(caller("segments:read"), "segments")
    assert found == {
        "next": None,
        "results": [
            {
                "key": "app_users",
                "label": "App users",
                "purpose": "retention",
                "visibility": "internal",
                "version": 1,
                "size": 6,
                "run": shop.run.pk,
                "as_of": "2026-03-02T00:00:00+08:00",
                "last_good_as_of": "2026-03-02T00:00:00+08:00",
                "last_error": {
                    "run": failed.pk,
                    "as_of": shown_instant(failed.as_of),
                    "status": "failed",
                    "code": "",
                    "message": "The run's page in the admin says what.",  # it names a hidden one
                },
            }
        ],
    }
    assert not AccessRecord.objects.exists()
    chinese = caller("segments:read", name="zh").get(
        "/api/v1/segments", headers={"accept-language": "zh-CN"}
    )
    assert chinese.json()["results"][0]["label"] == "App 用户"


@pytest.mark.parametrize("path", ["members", "runs"])
def test_a_hidden_segment_does_not_exist_without_the_scope(
    shop: Shop, caller: Caller, path: str
) -> None:
    client = caller("segments:read", "runs:read")
    answers = {
        key: client.get(f"/api/v1/segments/{key}/{path}") for key in (HIDDEN_KEY, "no_such_thing")
    }
    assert {answer.status_code for answer in answers.values()} == {404}
    assert len({answer.content for answer in answers.values()}) == 1
    # Wrong parameters do not tell either.
    wrong = client.get(f"/api/v1/segments/{HIDDEN_KEY}/{path}?x=1")
    assert wrong.content == answers["no_such_thing"].content
    for address in ("segments", "runs", f"runs/{shop.run.pk}", "segments/app_users/runs"):
        text = client.get(f"/api/v1/{address}").content.decode()
        for secret in (HIDDEN_KEY, HIDDEN_LABEL_EN, HIDDEN_LABEL_ZH, str(HIDDEN_SIZE)):
            assert secret not in text, address
    assert not AccessRecord.objects.exists()


def test_each_read_of_a_hidden_one_is_written_down(shop: Shop, caller: Caller) -> None:
    client = caller(*SEEING, "runs:read", name="crm")
    found = get(client, "segments")
    assert [row["key"] for row in found["results"]] == ["app_users", HIDDEN_KEY]
    assert get(client, f"segments/{HIDDEN_KEY}/members")["results"] == [{"customer_id": "C1000"}]
    get(client, f"segments/{HIDDEN_KEY}/runs")
    get(client, f"runs/{shop.run.pk}")
    get(client, "segments/app_users/members")
    records = AccessRecord.objects.order_by("pk")
    assert [(row.kind, row.via, row.subject_key, row.details, row.rows) for row in records] == [
        ("read_hidden", "api", HIDDEN_KEY, {"read": "list"}, None),
        ("read_hidden", "api", HIDDEN_KEY, {"read": "members"}, 1),
        ("read_hidden", "api", HIDDEN_KEY, {"read": "runs"}, None),
        ("read_hidden", "api", HIDDEN_KEY, {"read": "run"}, None),
    ]
    assert {row.actor for row in records} == {
        "crm segments:read segments:read_hidden runs:read"[:50]
    }
    assert {row.address for row in records} == {"127.0.0.1"}
    assert {row.is_hidden for row in records} == {True}


def test_an_objection_counts_at_once(shop: Shop, caller: Caller) -> None:
    """Out of members, sizes and runs of a hidden segment; an internal one keeps them."""
    put_members(shop, hidden=True, members={0, 1, 2})
    client = caller(*SEEING, "runs:read")
    # The sample's last customer objects; now the first one, too.
    Objection.objects.create(customer=shop.customers[0], objected_at=AS_OF)
    found = get(client, f"segments/{HIDDEN_KEY}/members")
    assert (found["size"], found["results"]) == (
        2, [{"customer_id": "C1001"}, {"customer_id": "C1002"}],
    )  # fmt: skip
    sizes = {row["key"]: row["size"] for row in get(client, "segments")["results"]}
    assert sizes == {"app_users": 6, HIDDEN_KEY: 2}
    newest = get(client, f"segments/{HIDDEN_KEY}/runs")["results"][0]
    assert (newest["size"], newest["entered"], newest["left"]) == (2, 2, 0)
    assert get(client, f"runs/{shop.run.pk}")["segments"] == {"app_users": 6, HIDDEN_KEY: 2}
    assert get(client, "segments/app_users/members")["size"] == 6
    Objection.objects.all().delete()
    assert get(client, f"segments/{HIDDEN_KEY}/members")["size"] == 3


def test_an_erased_customer_is_in_no_answer(shop: Shop, caller: Caller) -> None:
    from segmentation.services.erasure import _blank

    _blank(shop.customers[1], now=AS_OF)
    client = caller("segments:read")
    found = get(client, "segments/app_users/members")
    assert found["size"] == 5
    assert [row["customer_id"] for row in found["results"]] == [
        "C1000", "C1002", "C1003", "C1004", "C1005",
    ]  # fmt: skip
    assert get(client, "segments")["results"][0]["size"] == 5
    entered = get(client, "segments/app_users/members", part="entered")
    assert [row["customer_id"] for row in entered["results"]] == ["C1000"]


def test_a_row_scope_cuts_members_and_sizes(shop: Shop, caller: Caller) -> None:
    for number in (2, 3):
        Customer.objects.filter(pk=shop.customers[number].pk).update(
            home_store="S2", batch=new_batch()
        )
    key = create_api_key("store", scopes=["segments:read", "runs:read"], home_stores=["S2"]).key
    client = caller()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    found = get(client, "segments/app_users/members")
    assert (found["size"], found["results"]) == (
        2, [{"customer_id": "C1002"}, {"customer_id": "C1003"}],
    )  # fmt: skip
    assert get(client, "segments")["results"][0]["size"] == 2
    run = get(client, f"runs/{shop.run.pk}")
    assert (run["segments"], run["tags"], run["layers"], run["programs"]) == (
        {"app_users": 2}, None, None, None,
    )  # fmt: skip


def new_batch() -> Any:
    from segmentation.models import FactBatch

    return FactBatch.objects.create(kind="customers", source="import", recorded_at=AS_OF)


def test_pages_keep_to_one_run(shop: Shop, caller: Caller) -> None:
    client = caller("segments:read")
    seen: list[str] = []
    page = get(client, "segments/app_users/members", limit=4)
    seen += [row["customer_id"] for row in page["results"]]
    later = Run.objects.create(
        as_of=AS_OF + timedelta(days=1), status="published", requested_by="t", requested_at=AS_OF
    )
    put_members(shop, hidden=False, members={0}, run=later)
    page = client.get(page["next"]).json()
    seen += [row["customer_id"] for row in page["results"]]
    assert seen == [f"C100{number}" for number in range(6)]
    assert (page["next"], page["run"], page["size"]) == (None, shop.run.pk, 6)
    newest = get(client, "segments/app_users/members")
    assert (newest["run"], newest["size"]) == (later.pk, 1)
    older = get(client, "segments/app_users/members", as_of="2026-03-02T00:00:00+08:00")
    assert (older["run"], older["size"]) == (shop.run.pk, 6)
    nothing = client.get("/api/v1/segments/app_users/members?as_of=2001-01-01")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "not_found")


def test_a_full_last_page_has_no_next(shop: Shop, caller: Caller) -> None:
    page = get(caller("segments:read"), "segments/app_users/members", limit=6)
    assert (len(page["results"]), page["next"]) == (6, None)


def test_runs_of_a_segment_come_newest_first(shop: Shop, caller: Caller) -> None:
    client = caller("segments:read")
    found = get(client, "segments/app_users/runs", limit=1)
    assert found["results"] == [
        {
            "run": shop.run.pk, "as_of": "2026-03-02T00:00:00+08:00", "status": "published",
            "size": 6, "entered": 2, "left": 1,
        }
    ]  # fmt: skip
    rest = client.get(found["next"]).json()
    assert [row["run"] for row in rest["results"]] == [shop.run.base_run_id]
    assert rest["next"] is None


@pytest.mark.parametrize(
    ("sent", "problems"),
    [
        ({"limit": "x"}, [("/limit", "wrong_type")]),
        ({"limit": "0"}, [("/limit", "wrong_type")]),
        ({"limit": "-1"}, [("/limit", "wrong_type")]),
        ({"limit": "٣"}, [("/limit", "wrong_type")]),
        ({"cursor": "!"}, [("/cursor", "invalid_cursor")]),
        ({"cursor": "W10"}, [("/cursor", "invalid_cursor")]),
        ({"cursor": "WzFd"}, [("/cursor", "invalid_cursor")]),
        ({"sinc": "1", "limit": "x"}, [("/sinc", "unknown_parameter"), ("/limit", "wrong_type")]),
        ({"part": "all", "as_of": "then"}, [("/as_of", "wrong_type"), ("/part", "unknown_value")]),
        ({"as_of": "0001-01-01"}, [("/as_of", "out_of_range")]),
    ],
)  # fmt: skip
def test_wrong_parameters_are_all_told(
    shop: Shop, caller: Caller, sent: dict[str, str], problems: list[tuple[str, str]]
) -> None:
    assert refused(caller("segments:read"), "segments/app_users/members", **sent) == problems


def test_half_a_character_is_no_cursor(shop: Shop, caller: Caller) -> None:
    client = caller("segments:read")
    for text in ("\ud800", "\x00"):
        assert refused(client, "segments", cursor=closed(text)) == [("/cursor", "invalid_cursor")]


def test_a_limit_above_the_largest_is_the_largest(shop: Shop, caller: Caller) -> None:
    assert len(get(caller("segments:read"), "segments", limit=5000)["results"]) == 1


def test_a_segment_no_run_has_looked_at(shop: Shop, caller: Caller) -> None:
    SegmentResult.objects.filter(segment=shop.segment).delete()
    client = caller("segments:read")
    row = get(client, "segments")["results"][0]
    assert (row["size"], row["run"], row["as_of"]) == (None, None, None)
    response = client.get("/api/v1/segments/app_users/members")
    assert (response.status_code, response.json()["code"]) == (404, "not_found")
    assert get(client, "segments/app_users/runs") == {"next": None, "results": []}
