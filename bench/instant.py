"""How long after an order is sent its customer's tier is to be seen: 50 orders a second.

    python bench/instant.py            50,000 customers, 20 seconds
    SIZE=full python bench/instant.py  1 million customers, 8 million orders, 60 seconds

A web server and the loop of the instant path run as they do in production, each in a process of its
own. Every order is one request and lifts a customer who had no tier; the time counts from the
moment the request is sent to the moment another connection reads the transition. Requests are sent
when they are due, whether or not earlier ones were answered. The bound is 2 seconds for 95 of 100.
Runs in a scratch database and a scratch VAR_DIR, both removed at the end. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402
import urllib3  # noqa: E402
from generate import Size  # noqa: E402
from steps import database_url  # noqa: E402

PER_SECOND = 50
BOUND_SECONDS = 2.0
SIZES = {"quick": (Size(50_000, 400_000), 20), "full": (Size(1_000_000, 8_000_000), 60)}


def main() -> None:
    django.setup()
    from django.conf import settings
    from django.db import connection

    size, seconds = SIZES["full" if os.environ.get("SIZE") == "full" else "quick"]
    settings.TIME_ZONE, settings.BASE_CURRENCY = "America/New_York", "USD"
    name = connection.settings_dict["NAME"]
    connection.settings_dict["TEST"]["NAME"] = f"{name}_instant_{os.getpid()}"
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        with tempfile.TemporaryDirectory() as folder:
            settings.VAR_DIR = Path(folder)
            row = measure(size, seconds, Path(folder))
    finally:
        connection.creation.destroy_test_db(name, verbosity=0)
    note = (
        f"{size.customers:,} customers, {size.orders:,} orders; bound {BOUND_SECONDS:.0f} s for"
        " 95 of 100"
    )
    sys.stdout.write(json.dumps({"name": "instant", "rows": [row], "note": note}) + "\n")
    if row["p95 s"] > BOUND_SECONDS or row["never seen"]:
        sys.exit("instant: above the bound")


def measure(size: Size, seconds: int, folder: Path) -> dict[str, Any]:
    from django.db import connection
    from shop import make_shop

    from segmentation.services.api_keys import create_api_key

    make_shop(size)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT external_id FROM segmentation_customer c WHERE NOT EXISTS (SELECT FROM"
            " membership_membership m WHERE m.customer_id = c.id) ORDER BY id LIMIT %s",
            [PER_SECOND * seconds],
        )
        people = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT coalesce(max(id), 0) FROM membership_transition")
        newest = cursor.fetchone()[0]
    key = create_api_key("till", scopes=["facts:write"], actor="bench").key
    with served(folder) as address:
        sent, answered, refused = {}, [], []
        seen: dict[str, float] = {}
        stop = threading.Event()
        watcher = threading.Thread(target=_watch, args=(newest, seen, stop))
        watcher.start()
        pool = urllib3.PoolManager(maxsize=32, headers={"Authorization": f"Bearer {key}"})

        def send(customer: str) -> None:
            sent[customer] = started = time.perf_counter()
            row = {"order_id": f"B{customer}", "customer_id": customer, "amount": "5000",
                   "placed_at": "2025-12-30T12:00:00-05:00"}  # fmt: skip
            answer = pool.request("POST", f"{address}api/v1/orders/bulk", json={"rows": [row]})
            answered.append(time.perf_counter() - started)
            if answer.status != 200 or '"inserted"' not in answer.data.decode():
                refused.append(answer.data[:200])

        begun = time.perf_counter()
        with ThreadPoolExecutor(32) as threads:
            for number, customer in enumerate(people):
                pause = begun + number / PER_SECOND - time.perf_counter()
                if pause > 0:
                    time.sleep(pause)
                threads.submit(send, customer)
        took = time.perf_counter() - begun
        deadline = time.monotonic() + 30
        while len(seen) < len(people) and time.monotonic() < deadline:
            time.sleep(0.1)
        stop.set()
        watcher.join()
    if refused:
        raise SystemExit(f"instant: {len(refused)} orders refused, the first: {refused[0]!r}")
    waits = sorted(seen[customer] - sent[customer] for customer in people if customer in seen)
    answered.sort()
    return {
        "orders": len(people),
        "per second": round(len(people) / took, 1),
        "p50 s": round(_quantile(waits, 0.5), 3),
        "p95 s": round(_quantile(waits, 0.95), 3),
        "slowest s": round(waits[-1], 3),
        "answer p95 s": round(_quantile(answered, 0.95), 3),
        "never seen": len(people) - len(waits),
    }


def _quantile(values: list[float], share: float) -> float:
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("inf")


def _watch(newest: int, seen: dict[str, float], stop: threading.Event) -> None:
    """Note when another connection first reads each transition."""
    from django.db import connection

    try:
        while not stop.wait(0.02):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT t.id, c.external_id FROM membership_transition t"
                    " JOIN segmentation_customer c ON c.id = t.customer_id WHERE t.id > %s",
                    [newest],
                )
                for number, customer in cursor.fetchall():
                    newest = max(newest, number)
                    seen.setdefault(customer, time.perf_counter())
    finally:
        connection.close()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The web server's address; it and the loop run until the block ends."""
    from django.db import connection

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    environment = os.environ | {
        "DATABASE_URL": database_url(connection.settings_dict["NAME"]),
        "SECRET_KEY": secrets.token_hex(32),
        "VAR_DIR": str(folder),
        "TIERWISE_TESTING": "1",
        "API_THROTTLE_RATE": "100000/minute",
    }
    commands = (
        ["-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "2",
         "--threads", "4", "--log-level", "warning"],
        ["manage.py", "instant"],
    )  # fmt: skip
    running = [
        # Standard output is this benchmark's document alone.
        subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment, stdout=sys.stderr)
        for command in commands
    ]
    address = f"http://127.0.0.1:{port}/"
    try:
        for _ in range(300):
            try:
                if urllib3.request("GET", f"{address}healthz", retries=False).status == 200:
                    break
            except urllib3.exceptions.HTTPError:
                time.sleep(0.1)
        else:
            raise SystemExit("instant: the web server does not answer")
        time.sleep(3)  # the loop has started, too
        yield address
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(20)


if __name__ == "__main__":
    main()
