"""The product on Debian's PostgreSQL, Redis and RabbitMQ instead of the embedded ones."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from segmentation.models import FactBatch
from tests.conftest import Manage

from .conftest import Worker

pytestmark = pytest.mark.services
WORKER_SECONDS = 90.0


@pytest.mark.django_db
def test_migrations_on_debians_postgresql() -> None:
    """The test database was made by the migrations; Debian 12 has PostgreSQL 15."""
    assert connection.pg_version // 10000 >= 15
    assert FactBatch.objects.count() == 0


def _was_answered(database: str, text: str) -> bool:
    with psycopg.connect(database) as found:
        row = found.execute(
            "SELECT count(*) FROM cache_entry WHERE cache_key LIKE %s", [f"%celery-ping-{text}"]
        ).fetchone()
    return row == (1,)


def test_message_reaches_a_worker(
    production: dict[str, str], production_manage: Manage, worker: Worker
) -> None:
    """A message that was sent before any worker ran is answered by the first."""
    text = secrets.token_hex(8)
    send = f"from config.celery import ping; ping.delay('{text}')"
    done = production_manage("shell", "-v0", "-c", send)
    assert done.returncode == 0, done.stderr
    assert not _was_answered(production["DATABASE_URL"], text)
    worker()
    deadline = time.monotonic() + WORKER_SECONDS
    while not _was_answered(production["DATABASE_URL"], text):
        assert time.monotonic() < deadline, "no worker answered"
        time.sleep(0.2)


def test_recompute_through_a_worker(
    production_manage: Manage, worker: Worker, tmp_path: Path
) -> None:
    """From a file to a published segment, by commands and a real worker."""
    definitions = tmp_path / "definitions.yaml"
    definitions.write_text(
        "segments:\n"
        "  - key: shanghai\n"
        "    purpose: research\n"
        "    visibility: internal\n"
        "    rule: {attr: city, cmp: eq, value: Shanghai}\n"
    )
    customers = tmp_path / "customers.csv"
    customers.write_text("customer_id,city\nC1,Shanghai\nC2,Beijing\nC3,Shanghai\n")
    for words in (["apply", str(definitions)], ["import", "customers", str(customers)]):
        done = production_manage(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
    worker()
    done = production_manage("recompute", "--wait", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "published"
    assert answer["segments"] == {"shanghai": 2}
    found = production_manage("segment", "shanghai", "--json")
    assert json.loads(found.stdout)["members"] == ["C1", "C3"]


def test_a_backup_moves_between_debians_postgresql_and_the_embedded_one(
    production_manage: Manage, manage: Manage, tmp_path: Path
) -> None:
    """There and back: the embedded server is newer than Debian 12's, which must not matter."""
    customers = tmp_path / "customers.csv"
    customers.write_text("customer_id,city\nC1,上海\nC2,\n")
    unchanged = {"read": 2, "inserted": 0, "unchanged": 2, "updated": 0, "rejected": 0}
    for words in (["import", "customers", str(customers)], ["backup", str(tmp_path / "there")]):
        done = production_manage(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    for words in (["restore", str(tmp_path / "there")], ["backup", str(tmp_path / "back")]):
        done = manage(*words)
        assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(manage("import", "customers", str(customers), "--json").stdout)
    assert again == {"kind": "customers", **unchanged}
    refused = production_manage("restore", str(tmp_path / "back"))
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    done = production_manage("restore", str(tmp_path / "back"), "--replace")
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(production_manage("import", "customers", str(customers), "--json").stdout)
    assert again == {"kind": "customers", **unchanged}


def test_serving_needs_a_secret(production_manage: Manage) -> None:
    """There is no default secret beside an external database."""
    done = production_manage("serve", SECRET_KEY="", DEBUG="")
    assert done.returncode == 1
    assert "SECRET_KEY is not set" in done.stderr
