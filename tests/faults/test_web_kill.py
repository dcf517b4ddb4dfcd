"""Web server and workers die while the API records facts: nothing of the call is recorded (S06)."""

from __future__ import annotations

import http.client
import json
import threading
import urllib.request
from pathlib import Path

import psycopg

from config.embedded import Cluster
from config.supervisor import running
from tests.faults.test_job_kill import SECONDS, Shop, killed, shop, until

__all__ = ["shop"]  # the fixture
ROWS = 5_000
COUNTED = """
    SELECT (SELECT count(*) FROM segmentation_order), (SELECT count(*) FROM segmentation_customer),
           (SELECT count(*) FROM segmentation_factbatch)
"""
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
WRITING = """
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND backend_xid IS NOT NULL
"""


def _post(url: str, *, key: str, orders: int) -> dict[str, int]:
    """How many rows of the call got which status; empty when no answer came."""
    rows = [
        {"order_id": f"A{n}", "customer_id": f"new{n % 100}", "placed_at": "2026-01-05T10:00:00",
         "amount": "9.50"}
        for n in range(orders)
    ]  # fmt: skip
    request = urllib.request.Request(
        f"{url}api/v1/orders/bulk",
        data=json.dumps({"rows": rows}).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    counts: dict[str, int] = {}
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            for result in json.load(answer)["results"]:
                counts[result["status"]] = counts.get(result["status"], 0) + 1
    except (OSError, http.client.HTTPException):
        return {}
    return counts


def _connected(shop: Shop) -> psycopg.Connection:
    return psycopg.connect(
        host=str(Cluster(shop.var_dir).socket), user="tierwise", dbname="tierwise"
    )


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (OSError, http.client.HTTPException):
        return False


def test_web_server_and_workers_are_killed_during_an_import(shop: Shop, tmp_path: Path) -> None:
    """The call waits in the middle of its writing for a lock of ours, so that it is under way."""
    shop.tell("import", "orders", str(tmp_path / "orders.csv"))
    key = str(shop.tell("api_key", "create", "till", "--scopes", "facts:write")["key"])
    serving = shop.start("serve")
    try:
        until(lambda: (found := running(shop.var_dir)) and _is_ready(found.url), "nobody serves")
        found = running(shop.var_dir)
        assert found is not None
        answers: list[dict[str, int]] = []
        call = threading.Thread(
            target=lambda: answers.append(_post(found.url, key=key, orders=ROWS))
        )
        with _connected(shop) as looking, _connected(shop) as holding:
            looking.autocommit = True
            before = looking.execute(COUNTED).fetchone()
            holding.execute("LOCK TABLE segmentation_order IN SHARE ROW EXCLUSIVE MODE")
            call.start()
            until(lambda: looking.execute(WAITING).fetchone() == (1,), "the call never wrote")
            killed(*shop.processes("gunicorn"), *shop.processes("worker"))
            call.join(SECONDS)
            assert answers == [{}]
            holding.rollback()
            until(lambda: looking.execute(WRITING).fetchone() == (0,), "the killed call lives on")
            assert looking.execute(COUNTED).fetchone() == before
        until(lambda: _is_ready(found.url), "the web server does not come back")
        assert _post(found.url, key=key, orders=ROWS) == {"inserted": ROWS}
        assert _post(found.url, key=key, orders=ROWS) == {"unchanged": ROWS}
        until(lambda: shop.processes("worker", "runs"), "no worker came back")
    finally:
        serving.terminate()
        serving.communicate(timeout=SECONDS)
    until(lambda: not shop.processes(""), "something was left running")
