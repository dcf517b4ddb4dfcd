"""The embedded PostgreSQL survives kills and crowds, and nothing is left running (S06)."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from config import embedded_files
from config.embedded import Cluster, EmbeddedDatabaseError
from tests.conftest import REPOSITORY, new_var_dir, outside_environment

_USER = """
import signal, sys, time
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's "&" has it ignored
from config.embedded import Cluster
import psycopg
cluster = Cluster(Path(sys.argv[1]), durable=False)  # matters only to who makes it
cluster.use()
with psycopg.connect(host=str(cluster.socket), user="tierwise", dbname="tierwise") as connection:
    connection.execute("SELECT pg_advisory_xact_lock(1)")  # IF NOT EXISTS alone races
    connection.execute("CREATE TABLE IF NOT EXISTS seen (n int)")
    connection.execute("INSERT INTO seen VALUES (1)")
print("using", flush=True)
time.sleep(float(sys.argv[2]))
"""


def _start_user(cluster: Cluster, *, seconds: float) -> subprocess.Popen[str]:
    """Another process that uses the cluster, inserts one row and stays for `seconds`."""
    return subprocess.Popen(
        [sys.executable, "-c", _USER, str(cluster.var_dir), str(seconds)],
        cwd=REPOSITORY,
        env=outside_environment(cluster.var_dir),
        stdout=subprocess.PIPE,
        text=True,
    )


def _seen(cluster: Cluster) -> int:
    with psycopg.connect(
        host=str(cluster.socket), user="tierwise", dbname="tierwise"
    ) as connection:
        row = connection.execute("SELECT count(*) FROM seen").fetchone()
        assert row is not None
        return int(row[0])


def _postmaster(cluster: Cluster) -> int:
    return int((cluster.folder / "cluster" / "postmaster.pid").read_text().split()[0])


def _processes(cluster: Cluster) -> list[int]:
    """Everything whose command line names this cluster, zombies aside."""
    data = str(cluster.folder).encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and data in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _is_alive(process: int) -> bool:
    """A zombie is dead; who must reap it is not our business."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _use_once(cluster: Cluster) -> None:
    user = _start_user(cluster, seconds=0)
    assert user.communicate(timeout=60)[0] == "using\n"
    assert user.returncode == 0


@pytest.fixture
def durable_cluster() -> Iterator[Cluster]:
    found = Cluster(new_var_dir())
    yield found
    found.remove()


def test_last_user_stops_the_server(cluster: Cluster) -> None:
    """Nobody stops what another uses, and nothing runs after the last one."""
    long = _start_user(cluster, seconds=60)
    assert long.stdout is not None
    assert long.stdout.readline() == "using\n"
    before = _postmaster(cluster)
    _use_once(cluster)
    assert _postmaster(cluster) == before
    long.send_signal(signal.SIGINT)
    long.communicate(timeout=30)
    assert not cluster.is_running
    assert _processes(cluster) == []


def test_concurrent_starters_make_one_cluster(cluster: Cluster) -> None:
    users = [_start_user(cluster, seconds=0.2) for _ in range(5)]
    assert [user.communicate(timeout=60)[0] for user in users] == ["using\n"] * 5
    assert not cluster.is_running
    cluster.use()
    assert _seen(cluster) == 5
    cluster.release()
    assert _processes(cluster) == []


def test_killed_user_leaves_a_server_that_the_next_one_ends(cluster: Cluster) -> None:
    user = _start_user(cluster, seconds=60)
    assert user.stdout is not None
    assert user.stdout.readline() == "using\n"
    user.kill()
    user.communicate()
    assert cluster.is_running
    orphan = _postmaster(cluster)
    cluster.use()
    assert _postmaster(cluster) == orphan
    assert _seen(cluster) == 1
    cluster.release()
    assert not cluster.is_running
    assert _processes(cluster) == []


def test_killed_postmaster(durable_cluster: Cluster) -> None:
    """kill -9 of the postmaster: what was committed is there, the next user works."""
    cluster = durable_cluster
    cluster.use()
    with psycopg.connect(
        host=str(cluster.socket), user="tierwise", dbname="tierwise", autocommit=True
    ) as connection:
        connection.execute("CREATE TABLE seen (n int)")
        connection.execute("INSERT INTO seen VALUES (1)")
    killed = _postmaster(cluster)
    os.kill(killed, signal.SIGKILL)
    _use_once(cluster)
    assert cluster.ensure() is False or _postmaster(cluster) != killed
    assert _seen(cluster) == 2
    cluster.release()
    assert _processes(cluster) == []


def test_backend_that_survives_its_postmaster(cluster: Cluster) -> None:
    """A backend in the middle of long work does not notice the death of its postmaster."""
    cluster.use()
    address = {"host": str(cluster.socket), "user": "tierwise", "dbname": "tierwise"}
    with contextlib.closing(psycopg.connect(**address)) as connection:
        backend, killed = connection.info.backend_pid, _postmaster(cluster)
        os.kill(backend, signal.SIGSTOP)  # notices nothing at all
        os.kill(killed, signal.SIGKILL)
        while _is_alive(killed):
            time.sleep(0.01)
        assert cluster.ensure()
    assert cluster.is_running
    assert not _is_alive(backend)
    cluster.release()
    assert _processes(cluster) == []


@pytest.mark.parametrize("own_account", [True, False], ids=["server's account", "ours"])
def test_stale_pid_file_of_a_reused_id(cluster: Cluster, own_account: bool) -> None:
    """After a crash the process id in postmaster.pid may belong to anybody."""
    _use_once(cluster)
    switch = embedded_files.switch(embedded_files.account()) if own_account else {}
    other = subprocess.Popen(["sleep", "60"], cwd="/", **switch)
    try:
        stale = cluster.folder / "cluster" / "postmaster.pid"
        stale.write_text(f"{other.pid}\n{stale.parent}\n1\n5432\n/tmp\n\n  1  1\nready   \n")
        _use_once(cluster)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    assert not cluster.is_running


def test_half_made_cluster_is_made_again(cluster: Cluster) -> None:
    _use_once(cluster)
    data = cluster.folder / "cluster"
    data.rename(data.with_name("cluster.new-0badcafe"))
    (data.with_name("cluster.new-0badcafe") / "global" / "pg_control").unlink()
    _use_once(cluster)
    cluster.use()
    assert _seen(cluster) == 1
    assert list(cluster.folder.glob("cluster.new-*")) == []


def test_no_instance_file_no_old_data(cluster: Cluster) -> None:
    _use_once(cluster)
    first = Cluster(cluster.var_dir)
    old = first.folder
    (cluster.var_dir / "runs").mkdir()
    instance = (cluster.var_dir / "instance").read_text()
    (cluster.var_dir / "instance").unlink()
    _use_once(cluster)
    assert cluster.instance not in (None, instance.strip())
    assert not (cluster.var_dir / "runs").exists()
    cluster.use()
    assert _seen(cluster) == 1
    cluster.release()
    shutil.rmtree(old)


def test_two_folders_never_meet(cluster: Cluster) -> None:
    other = Cluster(new_var_dir(), durable=False)
    cluster.use()
    _use_once(other)
    assert cluster.is_running
    assert not other.is_running
    assert other.folder != cluster.folder
    other.remove()
    assert not other.folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's clusters lie outside VAR_DIR")
def test_copied_folder_is_refused(cluster: Cluster) -> None:
    """The copy would otherwise share the original's database."""
    _use_once(cluster)
    copy = new_var_dir()
    shutil.copy(cluster.var_dir / "instance", copy / "instance")
    with pytest.raises(EmbeddedDatabaseError, match="is a copy of"):
        Cluster(copy, durable=False).use()
    Cluster(copy, durable=False).remove()  # forgets the id; the cluster is the original's
    assert not (copy / "instance").exists()
    _use_once(cluster)


def test_moved_folder_keeps_its_data(cluster: Cluster) -> None:
    _use_once(cluster)
    moved = cluster.var_dir.with_name(f"{cluster.var_dir.name}-moved")
    cluster.var_dir.rename(moved)
    there = Cluster(moved, durable=False)
    there.use()
    try:
        assert _seen(there) == 1
    finally:
        there.remove()


def test_long_path_gets_a_closed_short_socket_folder() -> None:
    var_dir = new_var_dir() / ("long" * 30)
    cluster = Cluster(var_dir, durable=False)
    if os.geteuid() == 0:
        pytest.skip("root's clusters have a short path")
    cluster.use()
    try:
        assert len(str(cluster.socket)) < 100
        assert cluster.socket.stat().st_mode & 0o777 == 0o700
    finally:
        cluster.remove()


def test_listens_on_no_address(cluster: Cluster) -> None:
    cluster.use()
    with psycopg.connect(
        host=str(cluster.socket), user="tierwise", dbname="tierwise"
    ) as connection:
        row = connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('unix_socket_permissions')"
        ).fetchone()
    assert row == ("", "0700")
    assert cluster.socket.stat().st_mode & 0o777 == 0o700


def test_commands_without_database_start_nothing(cluster: Cluster) -> None:
    for words in (["help"], ["import", "--help"], ["makemessages", "--help"]):
        done = subprocess.run(
            [sys.executable, str(REPOSITORY / "manage.py"), *words],
            env=outside_environment(cluster.var_dir),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0
    assert cluster.instance is None


def test_terminated_command_stops_the_server(cluster: Cluster) -> None:
    """SIGTERM, as a shell or a container sends it."""
    running = subprocess.Popen(
        [
            sys.executable,
            str(REPOSITORY / "manage.py"),
            "shell",
            "-c",
            "import time; time.sleep(60)",
        ],
        env=outside_environment(cluster.var_dir),
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not cluster.is_running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert cluster.is_running
    time.sleep(0.3)
    running.terminate()
    assert running.wait(30) == 128 + signal.SIGTERM
    assert not cluster.is_running


_UNHEARD = """
import os, signal, time
class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.2)
Dropped()
print("went on", flush=True)
time.sleep(60)
"""


def test_a_signal_during_a_destructor_is_not_lost(cluster: Cluster) -> None:
    """Python prints what is raised in a destructor and goes on; the process must end all the
    same, and its server with it."""
    running = subprocess.run(
        [sys.executable, str(REPOSITORY / "manage.py"), "shell", "-v", "0", "-c", _UNHEARD],
        env=outside_environment(cluster.var_dir),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert running.stdout == "went on\n"
    assert "Exception ignored" in running.stderr
    assert running.returncode == 128 + signal.SIGTERM
    assert not cluster.is_running
