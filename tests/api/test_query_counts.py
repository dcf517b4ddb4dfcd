"""Committed numbers of queries per request; the same with three times the rows (no N+1).

After a wanted change: `UPDATE_QUERY_COUNTS=1 pytest tests/api/test_query_counts.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from segmentation.models import Run
from segmentation.models.access import SCOPES

from .conftest import Caller
from .shops import make_running_shop

pytestmark = pytest.mark.django_db(transaction=True)
BASELINE = Path(__file__).with_name("query_counts.json")
READS = (
    "customers/C0", "customers/C0/memberships", "programs", "programs/club", "segments",
    "segments/spenders/members", "segments/others/members", "segments/spenders/runs",
    "segments/others/runs", "runs", "transitions", "transitions?since=2026-02-01",
    "transitions?program=club",
)  # fmt: skip
WISHES = ("object", "allow", "withdraw_consent", "export")


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.VAR_DIR = str(tmp_path)


def measure(client: Any, run: Run) -> dict[str, int]:
    client.get("/api/v1/customers/C0/memberships")  # a process reads a set of definitions once
    client.get("/api/v1/customers/C0")
    found = {
        f"GET {path}": count(lambda path=path: client.get(f"/api/v1/{path}")) for path in READS
    }
    found["GET runs/N"] = count(lambda: client.get(f"/api/v1/runs/{run.pk}"))
    found["POST runs"] = count(lambda: client.post("/api/v1/runs", {}, format="json"))
    for kind in WISHES:
        found[f"POST privacy {kind}"] = count(
            lambda kind=kind: client.post(
                "/api/v1/customers/C0/privacy", {"kind": kind}, format="json"
            )
        )
    return found


def count(ask: Callable[[], Any]) -> int:
    with CaptureQueriesContext(connection) as queries:
        response = ask()
    assert response.status_code in (200, 202), response.content
    return len(queries)


@pytest.mark.parametrize("times", [1, 3])
def test_queries_per_request(caller: Caller, times: int) -> None:
    run = make_running_shop(customers=3 * times, copies=2 * times)
    found = measure(caller(*SCOPES, name="all"), run)
    if times == 1 and os.environ.get("UPDATE_QUERY_COUNTS"):
        BASELINE.write_text(json.dumps(found, indent=2, sort_keys=True) + "\n")
    assert found == json.loads(BASELINE.read_text())


def test_nothing_is_counted_or_skipped_over(caller: Caller) -> None:
    run = make_running_shop(customers=3, copies=1)
    with CaptureQueriesContext(connection) as queries:
        measure(caller(*SCOPES, name="all"), run)
    texts = [query["sql"].upper() for query in queries]
    assert len(texts) > 50
    assert not [sql for sql in texts if "COUNT(" in sql or " OFFSET " in sql]
