"""S06 for imports: a process that is killed while it imports has recorded nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from django.db import connection

from segmentation.models import Customer, FactBatch, Order
from tests.fixtures.fact_files import Importer

pytestmark = pytest.mark.django_db(transaction=True)
ROWS = 3_000

# Imports a file and stops for good at the named place, where the test kills it.
SCRIPT = """
import json, sys, time
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo
import django
from django.conf import settings
database, place, path, rejects = sys.argv[1:]
django.setup()
from django.db import connection
connection.settings_dict.update(json.loads(database))
from segmentation.services.importing import imports, recording

def stop(*arguments, **options):
    print("there", flush=True)
    time.sleep(600)

if place == "while copying":
    imports.copy_refusals = stop
elif place == "after the stubs":
    recording._write = stop
elif place == "before the commit":
    record = imports.record_staged
    def record_and_stop(*arguments, **options):
        record(*arguments, **options)
        stop()
    imports.record_staged = record_and_stop
imports.import_file(
    Path(path), kind="orders", actor="operator", zone=ZoneInfo("UTC"), base_currency="CNY",
    now=datetime.now(UTC), recorded_at=datetime.now(UTC), rejects=Path(rejects),
)
"""


@pytest.mark.parametrize("place", ["while copying", "after the stubs", "before the commit"])
def test_killed_while_importing(tmp_path: Path, place: str) -> None:
    importer = Importer(tmp_path)
    header = "order_id customer_id placed_at amount"
    importer.rows("orders", header, [("O1", "C1", "2024-01-01", "1")])
    before = (Order.objects.count(), Customer.objects.count(), FactBatch.objects.count())
    rows = [(f"O{i}", f"C{i % 100}", "2024-01-01", "2") for i in range(ROWS)]
    path = tmp_path / "large.csv"
    path.write_text(header.replace(" ", ",") + "\n" + "".join(",".join(r) + "\n" for r in rows))
    rejects = tmp_path / "r.csv"
    database = {
        name: connection.settings_dict[name]
        for name in ("HOST", "PORT", "USER", "PASSWORD", "NAME", "OPTIONS")
    }
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(database), place, str(path), str(rejects)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "config.settings"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
    assert not rejects.exists()
    wait_for_locks_to_go()
    now = (Order.objects.count(), Customer.objects.count(), FactBatch.objects.count())
    assert now == before
    result = importer.file("orders", path)
    assert result.counts == (ROWS - 1, 0, 1, 0)
    assert Order.objects.count() == ROWS
    ordinals = Customer.objects.order_by("ordinal").values_list("ordinal", flat=True)
    assert list(ordinals) == list(range(100))


def wait_for_locks_to_go() -> None:
    """The server notices within a moment that its client is gone."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            if cursor.fetchone() == (0,):
                return
        time.sleep(0.05)
    raise AssertionError("the killed process still holds its connection")
