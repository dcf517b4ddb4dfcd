"""The supervisor: one per VAR_DIR, restarts what dies, leaves nothing behind (S06)."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from config import supervisor
from config.embedded import Cluster
from config.embedded_files import EmbeddedDatabaseError
from config.supervisor import Running, Services, listen, running
from tests.conftest import REPOSITORY, new_var_dir, outside_environment

SECONDS = 90.0


def _until(check: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not check():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def _children(var_dir: Path) -> dict[int, str]:
    """Live processes whose environment names this VAR_DIR."""
    found = {}
    mark = f"VAR_DIR={var_dir}\0".encode()
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}readyz", timeout=5) as answer:
            return json.load(answer)["status"] == "ok"
    except OSError:
        return False


def _url(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found is not None, line
    return found[0]


@pytest.fixture
def serving() -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    var_dir = new_var_dir()
    process = subprocess.Popen(
        [sys.executable, str(REPOSITORY / "manage.py"), "serve"],
        env=outside_environment(var_dir) | {"PORT": str(_free_port())},
        cwd="/",
        stdout=subprocess.PIPE,
        text=True,
    )
    yield var_dir, process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    _until(lambda: not _children(var_dir), "children outlive their parent")
    Cluster(var_dir).remove()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_services_survive_kills_and_end_in_order(
    serving: tuple[Path, subprocess.Popen[str]],
) -> None:
    var_dir, process = serving
    url = _url(process)
    _until(lambda: _is_ready(url), "web server does not answer")
    assert running(var_dir) == Running(process=process.pid, url=url)

    second = subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), "serve"],
        env=outside_environment(var_dir),
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 1
    assert "run already" in second.stderr

    # the database, a worker: each is back without anybody's help
    os.kill(
        int((Cluster(var_dir).folder / "cluster" / "postmaster.pid").read_text().split()[0]),
        signal.SIGKILL,
    )
    _until(lambda: _is_ready(url), "database does not come back")

    def workers() -> set[int]:
        return {pid for pid, line in _children(var_dir).items() if "--queues runs" in line}

    _until(lambda: len(workers()) >= 2, "no worker")  # it and its pool's process
    killed = workers()
    os.kill(min(killed), signal.SIGKILL)
    _until(lambda: len(workers() - killed) >= 2, "worker does not come back")
    assert not workers() & killed

    process.send_signal(signal.SIGINT)
    process.wait(60)
    assert process.returncode == 0
    assert _children(var_dir) == {}
    assert running(var_dir) is None
    assert not Cluster(var_dir).is_running


def test_killed_supervisor_takes_its_children_along(
    serving: tuple[Path, subprocess.Popen[str]],
) -> None:
    var_dir, process = serving
    url = _url(process)
    _until(lambda: _is_ready(url), "web server does not answer")
    process.kill()
    process.wait()
    _until(lambda: not _children(var_dir), "children outlive their parent")
    assert running(var_dir) is None
    _until(lambda: not Cluster(var_dir).is_running, "the database outlives its users")


def test_taken_port_gives_the_next_free_one() -> None:
    with listen(_free_port()) as first:
        port = first.getsockname()[1]
        with listen(port) as second:
            assert port < second.getsockname()[1] < port + 1000


class _BrokenCluster(Cluster):
    """A database that died and can't start for a while, as on a full disk."""

    attempts = 0

    def ensure(self) -> bool:
        self.attempts += 1
        if self.attempts < 3:
            raise EmbeddedDatabaseError("PostgreSQL did not start")
        return True


def test_services_outlive_a_database_that_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """S06: the supervisor tries again, and neither it nor a service ends over it."""
    var_dir = new_var_dir()
    cluster = _BrokenCluster(var_dir)
    sleeper = supervisor._Child("sleeper", [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(supervisor, "RESTART_SECONDS", (0.1,))
    monkeypatch.setattr(Services, "_planned", lambda self: [sleeper])
    with Services(var_dir=var_dir, web=False, beat=False, secret_key="x" * 32, cluster=cluster):
        _until(lambda: cluster.attempts > 3, "the database is not tried again")
        assert sleeper.process is not None
        assert sleeper.process.poll() is None
        assert sleeper.deaths == 0
    assert sleeper.process is None
