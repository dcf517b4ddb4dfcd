"""The leak test of the API: a key without `segments:read_hidden` learns nothing about a hidden
segment from any operation, and a key of one store nothing about customers of another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rest_framework.test import APIClient

from config.clock import real_now
from segmentation.models import AccessRecord, Job, Run
from segmentation.models.access import SCOPES
from segmentation.services.api_keys import create_api_key
from segmentation.services.jobs import execute_job
from tests.fixtures.world import CLUB, World

from .test_openapi import _operations

pytestmark = pytest.mark.django_db(transaction=True)
KEY, LABELS = "whisper_orchid", {"en": "Orchid whisperers", "zh-hans": "兰花低语"}
SECRETS = (KEY, *LABELS.values())
OTHERS = ("STRANGER-9", "Strange Person")
QUERIES = ("", "?limit=1000", "?status=failed", "?part=left", "?since=0", "?x=1")


@pytest.fixture
def run(settings: Any, tmp_path: Path) -> Run:
    settings.VAR_DIR = str(tmp_path)
    world = World()
    hidden = {"key": KEY, "label": LABELS, "purpose": "service", "visibility": "hidden",
              "rule": {"segment": "spenders", "cmp": "member"}}  # fmt: skip
    world.apply({**CLUB, "segments": [CLUB["segments"][0], hidden]})
    world.record(
        "customers",
        {"customer_id": "C1", "home_store": "S1"},
        {"customer_id": OTHERS[0], "name": OTHERS[1], "home_store": "S2"},
    )
    for customer in ("C1", OTHERS[0]):
        world.order(customer, "2026-01-20T10:00", "1200")
    Run.objects.create(
        as_of=real_now(), status="failed", requested_by="t", requested_at=real_now(),
        error=f"segment {KEY} broke",
    )  # fmt: skip
    return world.run("2026-02-01")


def key_client(*scopes: str, stores: list[str] | None = None) -> APIClient:
    client = APIClient(raise_request_exception=False)
    key = create_api_key("store" if stores else "walker", scopes=scopes, home_stores=stores).key
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    return client


def walk(client: APIClient, run: Run, *, receipts: list[str]) -> dict[str, str]:
    """Address to answer, of everything that can be asked for by GET, in both languages."""
    found: dict[str, str] = {}
    for address, method, _view in _operations():
        if method != "get":
            continue
        wanted = {
            address.replace("/C1", f"/{customer}")
            .replace("programs/gold", "programs/club")
            .replace("segments/gold", f"segments/{segment}")
            .replace("pr_1", receipt)
            .replace("runs/1", f"runs/{number}")
            for customer in ("C1", OTHERS[0])
            for segment in ("spenders", KEY)
            for receipt in receipts
            for number in Run.objects.values_list("pk", flat=True)
        }
        for path in wanted:
            for query in QUERIES:
                for language in ("en", "zh-hans"):
                    response = client.get(path + query, headers={"accept-language": language})
                    assert response.status_code in (200, 404, 422), (path, response.content)
                    found[f"{path}{query} {language}"] = response.content.decode()
    return found


def make_receipts(client: APIClient, customer: str) -> list[str]:
    address = f"/api/v1/customers/{customer}/privacy"
    receipts = [
        client.post(address, {"kind": kind}, format="json").json()["receipt"]
        for kind in ("allow", "export")
    ]
    for job in Job.objects.filter(status="queued"):
        execute_job(job, clock=real_now)
    return receipts


def test_nothing_hidden_through_any_operation(run: Run) -> None:
    client = key_client(*(scope for scope in SCOPES if scope != "segments:read_hidden"))
    answers = walk(client, run, receipts=make_receipts(client, "C1"))
    assert len(answers) > 200
    told = {
        address for address, text in answers.items() if any(secret in text for secret in SECRETS)
    }
    assert told == set()
    assert not AccessRecord.objects.filter(kind="read_hidden").exists()
    for address, text in answers.items():
        if f"segments/{KEY}" in address:
            assert '"not_found"' in text, address


def test_control_with_the_scope_it_is_told_and_written_down(run: Run) -> None:
    client = key_client(*SCOPES)
    answers = walk(client, run, receipts=["pr_1"])
    told = {address.split("?")[0].split(" ")[0] for address, text in answers.items() if KEY in text}
    failed = Run.objects.get(status="failed")
    assert told == {
        "/api/v1/segments", f"/api/v1/segments/{KEY}/members", "/api/v1/runs",
        f"/api/v1/runs/{run.pk}", f"/api/v1/runs/{failed.pk}",
    }  # fmt: skip
    assert AccessRecord.objects.filter(kind="read_hidden", subject_key=KEY).count() > 10


def test_a_key_of_one_store_learns_nothing_about_another(run: Run) -> None:
    everything = key_client(*SCOPES)
    receipts = make_receipts(everything, OTHERS[0])
    Job.objects.all().delete()
    client = key_client(*SCOPES, stores=["S1"])
    answers = walk(client, run, receipts=receipts)
    told = {
        address
        for address, text in answers.items()
        if any(word in text for word in OTHERS) or any(receipt in text for receipt in receipts)
    }
    assert told == set()
    sizes = [text for address, text in answers.items() if "/segments?limit=1000 en" in address]
    assert len(sizes) == 1
    assert '"size":1' in sizes[0]
    assert '"size":2' not in sizes[0]
