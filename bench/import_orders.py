"""How long `import orders` takes beside a bare COPY of the same rows into the same table.

Both write into the same empty table with all its indexes, keys and triggers, in the same cluster,
one after the other, several times; the customers are there already. COPY gets what the import has
to find out first: resolved customer ids, UTC times, defaults. The goal is a ratio of at most 3.

    python bench/import_orders.py            200,000 orders, 3 rounds
    SIZE=full python bench/import_orders.py  1,000,000 orders, 3 rounds

Runs in a scratch database of the project's cluster, removed at the end. Prints one JSON document
(bench/run.py shows and keeps it); exit code 1 above the goal.
"""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402

ROUNDS = 3
GOAL = 3.0
ZONE = ZoneInfo("Asia/Shanghai")
HEADER = ("order_id", "customer_id", "placed_at", "amount", "discount", "channel", "is_promotion",
          "status", "store_id")  # fmt: skip
COPIED = ("batch_id", "external_id", "customer_id", "placed_at", "amount", "discount", "channel",
          "is_promotion", "status", "store_id", "currency")  # fmt: skip


def main() -> None:
    django.setup()
    from django.db import connection

    rows = 1_000_000 if os.environ.get("SIZE") == "full" else 200_000
    name = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"{name}_bench_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            rounds = measure(Path(folder), rows=rows)
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
    report(rounds, rows=rows)


def measure(folder: Path, *, rows: int) -> list[dict[str, float]]:
    from django.db import connection

    from segmentation.models import Order
    from segmentation.services.importing import import_file

    now = datetime.now(UTC)
    batch = make_customers(rows // 10)
    sent, resolved = folder / "orders.csv", folder / "copy.csv"
    write_orders(sent, resolved, rows=rows, batch=batch)

    def bare_copy() -> None:
        with (
            connection.cursor() as cursor,
            resolved.open("rb") as stream,
            cursor.copy(
                f"COPY segmentation_order ({', '.join(COPIED)}) FROM STDIN (FORMAT csv)"
            ) as copy,
        ):
            while block := stream.read(1 << 20):
                copy.write(block)

    def our_import() -> None:
        counts = import_file(
            sent, kind="orders", actor="bench", zone=ZONE, base_currency="CNY", now=now,
            recorded_at=now,
        )  # fmt: skip
        assert counts.inserted == rows, counts

    rounds = []
    for _ in range(ROUNDS):
        seconds = {}
        for label, action in (("copy", bare_copy), ("import", our_import)):
            with connection.cursor() as cursor:
                cursor.execute("TRUNCATE segmentation_order RESTART IDENTITY CASCADE")
                cursor.execute("CHECKPOINT")
            start = time.perf_counter()
            action()
            seconds[label] = time.perf_counter() - start
            assert Order.objects.count() == rows
        print(f"copy {seconds['copy']:.1f} s, import {seconds['import']:.1f} s", file=sys.stderr)
        rounds.append({**seconds, "ratio": seconds["import"] / seconds["copy"]})
    return rounds


def make_customers(number: int) -> int:
    """Known customers C0 to C<number - 1> with ids 1 to <number>; returns their batch."""
    from django.db import connection

    from segmentation.models import FactBatch

    batch = FactBatch.objects.create(
        kind="customers", source="import", recorded_at=datetime.now(UTC), inserted=number
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO segmentation_customer (batch_id, external_id, ordinal, is_stub)"
            " SELECT %s, 'C' || i, i, FALSE FROM generate_series(0, %s) i ORDER BY i",
            [batch.pk, number - 1],
        )
        cursor.execute("VACUUM ANALYZE segmentation_customer")
        cursor.execute("SELECT min(id), max(id) FROM segmentation_customer")
        assert cursor.fetchone() == (1, number)
    return int(batch.pk)


def write_orders(sent: Path, resolved: Path, *, rows: int, batch: int) -> None:
    chance = random.Random(1)
    start = datetime(2023, 1, 1, tzinfo=ZONE)
    with sent.open("w", newline="") as left, resolved.open("w", newline="") as right:
        as_sent, as_copied = csv.writer(left), csv.writer(right)
        as_sent.writerow(HEADER)
        for index in range(rows):
            customer = chance.randrange(rows // 10)
            placed = start + timedelta(seconds=chance.randrange(63_000_000))
            amount, discount = chance.randrange(100_000), chance.randrange(5_000)
            common = (
                f"{amount // 100}.{amount % 100:02}", f"{discount // 100}.{discount % 100:02}",
                chance.choice(("app", "store", "web")), chance.choice(("true", "false")),
                "completed", f"S{chance.randrange(300)}",
            )  # fmt: skip
            as_sent.writerow((f"O{index:09}", f"C{customer}", placed.isoformat()[:19], *common))
            utc = placed.astimezone(UTC).isoformat()
            as_copied.writerow((batch, f"O{index:09}", customer + 1, utc, *common, "CNY"))


def report(rounds: list[dict[str, float]], *, rows: int) -> None:
    ratio = statistics.median(entry["ratio"] for entry in rounds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    table = [
        {
            "orders": rows,
            "round": number,
            "copy s": round(entry["copy"], 2),
            "import s": round(entry["import"], 2),
            "ratio": round(entry["ratio"], 2),
        }
        for number, entry in enumerate(rounds, 1)
    ]
    note = f"median ratio {ratio:.2f}, goal {GOAL}; peak memory of the process {peak} MiB"
    print(json.dumps({"name": "import_orders", "rows": table, "note": note}))
    if ratio > GOAL:
        sys.exit(f"import_orders: ratio {ratio:.2f} is above the goal of {GOAL}")


if __name__ == "__main__":
    main()
