"""The main job with its services for real: whatever is killed, the next command finds its way.

Nothing is mocked: an embedded PostgreSQL, the supervisor with web server, workers and beat, and
commands in processes of their own. SIGKILL goes to one of them while a run or an import is under
way (S06).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from config.embedded import Cluster
from tests.conftest import REPOSITORY, new_var_dir, outside_environment

ZONE = {"TIME_ZONE": "Asia/Shanghai", "BASE_CURRENCY": "CNY"}
SECONDS = 120.0
CUSTOMERS, ORDERS = 500, 15_000
MANY = 150_000  # long enough to be seen while they are written
DEFINITIONS = {
    "metrics": [
        {"key": f"spend_{days}", "source": "orders", "unit": "money",
         "aggregate": {"fn": "sum", "field": "net_amount"},
         "window": {"days": days, "to_now": True}}
        for days in (7, 30, 90, 180)
    ],
    "segments": [
        {"key": "spenders", "purpose": "service", "visibility": "internal",
         "rule": {"metric": "spend_90", "cmp": "gte", "value": "500"}}
    ],
    "programs": [
        {"key": "club", "version": {
            "effective_from": "2026-01-01", "keep_for": {"months": 3},
            "tiers": [{"key": "gold", "rank": 1,
                       "rule": {"metric": "spend_90", "cmp": "gte", "value": "800"}}]}}
    ],
}  # fmt: skip


class Shop:
    """One checkout's installation in a `VAR_DIR` of its own."""

    def __init__(self, var_dir: Path) -> None:
        self.var_dir = var_dir
        self.environment = outside_environment(var_dir) | ZONE | {"PORT": "0"}

    def start(self, *words: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(REPOSITORY / "manage.py"), *words],
            env=self.environment,
            stdout=stdout,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def tell(self, *words: str) -> dict[str, Any]:
        """The JSON answer of a command that must succeed."""
        process = self.start(*words, "--json")
        answer, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, answer
        document: dict[str, Any] = json.loads(answer)
        return document

    def processes(self, *marks: str) -> list[int]:
        """Live processes of this installation whose command line has all the marks."""
        here = f"VAR_DIR={self.var_dir}\0".encode()
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if not entry.name.isdecimal() or here not in (entry / "environ").read_bytes():
                    continue
                line = (entry / "cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
            if all(mark in line for mark in marks) and "config.child" not in line:
                found.append(int(entry.name))
        return found

    def postmaster(self) -> int:
        cluster = Cluster(self.var_dir)
        return int((cluster.folder / "cluster" / "postmaster.pid").read_text().split()[0])


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    var_dir = new_var_dir()
    found = Shop(var_dir)
    definitions = tmp_path / "definitions.json"
    definitions.write_text(json.dumps(DEFINITIONS))
    write_orders(tmp_path / "orders.csv", ORDERS)
    found.tell("apply", str(definitions))
    yield found
    Cluster(var_dir).remove()


def write_orders(path: Path, count: int) -> None:
    first = date(2026, 1, 1)
    with path.open("w") as stream:
        stream.write("order_id,customer_id,placed_at,amount\n")
        for number in range(count):
            at = first + timedelta(days=number % 60)
            stream.write(f"O{number},C{number * 7 % CUSTOMERS},{at}T10:00:00,{number % 90}.50\n")


def until(check: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def killed(*processes: int) -> None:
    assert processes
    for process in processes:
        os.kill(process, signal.SIGKILL)


def test_postgresql_is_killed_during_an_import(shop: Shop, tmp_path: Path) -> None:
    write_orders(tmp_path / "many.csv", MANY)
    orders = str(tmp_path / "many.csv")
    importing = shop.start("import", "orders", orders, "--json")
    until(lambda: _backends(shop, "COPY", "INSERT"), "the import never wrote")
    killed(shop.postmaster())
    answer, _ = importing.communicate(timeout=SECONDS)
    assert importing.returncode != 0, answer
    again = shop.tell("import", "orders", orders)
    assert (again["read"], again["inserted"], again["rejected"]) == (MANY, MANY, 0)
    assert shop.tell("import", "orders", orders)["unchanged"] == MANY


def _backends(shop: Shop, *words: str) -> list[int]:
    """PostgreSQL shows in its processes' titles what they are doing."""
    try:
        data = str(shop.postmaster())
    except OSError:
        return []
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            title = (entry / "cmdline").read_text()
            if fields[1] == data and any(word in title for word in words):
                found.append(int(entry.name))
        except (OSError, IndexError):
            continue
    return found


@pytest.mark.parametrize("victim", ["worker and web server", "postgresql", "supervisor"])
def test_something_is_killed_during_a_run(shop: Shop, tmp_path: Path, victim: str) -> None:
    """The run that was under way is finished once, and equals one that nobody disturbed."""
    shop.tell("import", "orders", str(tmp_path / "orders.csv"))
    serving = shop.start("serve", stdout=subprocess.DEVNULL)
    try:
        until(lambda: shop.processes("worker", "runs"), "no worker came up")
        with nothing_published(shop):
            asked = shop.tell("recompute", "--as-of", "2026-02-15")
            until(lambda: _status(shop, asked["run"]) == "running", "nobody claimed the run")
            if victim == "worker and web server":
                killed(*shop.processes("worker", "runs"), *shop.processes("gunicorn"))
            elif victim == "postgresql":
                killed(shop.postmaster())
            else:
                killed(serving.pid)
        until(lambda: _is_finished(shop, asked["run"]), "the run was never finished")
        after = shop.tell("recompute", "--as-of", "2026-02-15", "--wait")
        verified = shop.tell("verify_run", str(asked["run"]))
        assert verified["equal"] is True
        members = shop.tell("membership", "club")["members"]
        assert len(members) == after["programs"]["club"]["gold"] > 0
        assert {member["since"] for member in members} == {"2026-02-15T00:00:00+08:00"}
        assert shop.tell("segment", "spenders")["size"] == after["segments"]["spenders"]
    finally:
        serving.terminate()
        serving.wait(SECONDS)
    until(lambda: not shop.processes(""), "something was left running")


def _connected(shop: Shop) -> psycopg.Connection[Any]:
    socket = str(Cluster(shop.var_dir).socket)
    return psycopg.connect(host=socket, user="tierwise", dbname="tierwise")


@contextmanager
def nothing_published(shop: Shop) -> Iterator[None]:
    """Runs wait before they publish, so that one is seen under way: a run may be done before the
    command that asked for it has ended."""
    connection = _connected(shop)
    connection.execute("LOCK TABLE membership_membership IN SHARE MODE")
    yield
    connection.close()


def _status(shop: Shop, run: int) -> str:
    """Asked over the socket, because a command is slow."""
    try:
        with _connected(shop) as connection:
            row = connection.execute(
                "SELECT status FROM segmentation_run WHERE id = %s", [run]
            ).fetchone()
    except (psycopg.OperationalError, OSError):
        return "unknown"
    return "" if row is None else str(row[0])


def _is_finished(shop: Shop, run: int) -> bool:
    if _status(shop, run) == "published":
        return True
    # After the supervisor's death nobody works until somebody asks.
    if not shop.processes("worker", "runs"):
        shop.tell("recompute", "--as-of", "2026-02-15", "--wait")
    return False
