"""How long the mirror takes over new orders beside reading the same rows once as Arrow.

Each round brings a batch of new orders by COPY (not timed), then the mirror's step over it and one
plain `SELECT *` of the batch through ADBC, in turn first. The bound is a ratio of 2.

    python bench/mirror_orders.py            200,000 orders a round, 5 rounds
    SIZE=full python bench/mirror_orders.py  1 million orders a round, 5 rounds

Runs in a scratch database and VAR_DIR, both removed at the end. Prints one JSON document; exit code
1 above the bound.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402
from import_orders import make_customers  # noqa: E402
from steps import database_url  # noqa: E402

ROUNDS = 5
BOUND = 2.0
_ORDERS = """
INSERT INTO segmentation_order (batch_id, external_id, customer_id, placed_at, amount, discount,
                                channel, is_promotion, status, store_id, currency)
SELECT %(batch)s, 'O' || %(batch)s || '-' || i, 1 + (i * 7919) %% %(customers)s,
       timestamptz '2025-11-01 00:00+00' + (i %% 60) * interval '1 day'
           + (i %% 86000) * interval '1 second',
       (i %% 100000)::numeric / 100, (i %% 5000)::numeric / 100,
       (array['app', 'store', 'web'])[1 + i %% 3], i %% 2 = 0, 'completed', 'S' || i %% 300, 'CNY'
  FROM generate_series(1, %(rows)s::bigint) i
"""


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.db import connection

    rows = 1_000_000 if os.environ.get("SIZE") == "full" else 200_000
    name = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"{name}_bench_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings.VAR_DIR = Path(folder)
            make_customers(rows // 10)
            rounds = [measure(number, rows=rows) for number in range(ROUNDS)]
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
    ratio = statistics.median(entry["mirror s"] / entry["arrow s"] for entry in rounds)
    table = [{"orders": rows, "round": number, **entry} for number, entry in enumerate(rounds, 1)]
    note = f"median ratio {ratio:.2f}, bound {BOUND:.0f}"
    sys.stdout.write(json.dumps({"name": "mirror_orders", "rows": table, "note": note}) + "\n")
    if ratio > BOUND:
        sys.exit(f"mirror_orders: ratio {ratio:.2f} is above the bound of {BOUND:.0f}")


def measure(number: int, *, rows: int) -> dict[str, float]:
    from adbc_driver_postgresql import dbapi
    from django.db import connection

    from config.clock import real_now
    from segmentation.engine import mirror
    from segmentation.models import FactBatch, MirrorManifest

    batch = FactBatch.objects.create(
        kind="orders", source="import", recorded_at=real_now(), inserted=rows
    )
    with connection.cursor() as cursor:
        values = {"batch": batch.pk, "rows": rows, "customers": rows // 10}
        cursor.execute(_ORDERS, values)
        cursor.execute("VACUUM ANALYZE segmentation_order")
        cursor.execute("CHECKPOINT")
    spent: dict[str, float] = {}

    def step() -> None:
        manifest = mirror.advance(now=real_now())
        assert sum(file["rows"] for file in manifest.files
                   if file["kind"] == "orders") == rows * (number + 1)  # fmt: skip

    def read() -> None:
        query = f"SELECT * FROM segmentation_order WHERE batch_id = {batch.pk}"
        url = database_url(connection.settings_dict["NAME"])
        with dbapi.connect(url) as reader, reader.cursor() as cursor:
            cursor.execute(query)
            assert cursor.fetch_arrow_table().num_rows == rows

    ways = [("mirror s", step), ("arrow s", read)]
    for way, act in ways if number % 2 else reversed(ways):
        started = time.perf_counter()
        act()
        spent[way] = round(time.perf_counter() - started, 3)
    assert MirrorManifest.objects.exists()
    return {"mirror s": spent["mirror s"], "arrow s": spent["arrow s"],
            "ratio": round(spent["mirror s"] / spent["arrow s"], 2)}  # fmt: skip


if __name__ == "__main__":
    main()
