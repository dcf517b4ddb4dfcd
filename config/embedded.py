"""The embedded PostgreSQL: started on demand, shared by every process of one `VAR_DIR`, stopped by
the last.

Whoever uses it holds a shared lock on `VAR_DIR/postgres.users` until it ends; the one who can take
the lock alone stops the server. The server itself holds `server.lock` of its folder through a file
handle that all its processes inherit, so "is anything of it alive" is never a guess from a process
id, which another program may have been given. After a kill of anything at most a server is left
that the next user finds, uses and stops.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from . import embedded_files as files
from . import env
from .embedded_files import EmbeddedDatabaseError

START_SECONDS = 600.0  # crash recovery of a big load takes its time
STOP_SECONDS = 60.0
_INSIST_SECONDS = 1.0  # until a signal to exit that went unheard is raised again
ORPHAN_SECONDS = 2.0
_OF_A_DATABASE = ("mirror", "runs", "broker")  # what lies in VAR_DIR and means one database


@dataclass
class Cluster:
    """The cluster of one `VAR_DIR`. `durable=False` only for tests: a crash may lose it."""

    var_dir: Path
    durable: bool = True
    _users: int | None = field(default=None, init=False)
    _owner_process: int = field(default=0, init=False)
    _server: subprocess.Popen[bytes] | None = field(default=None, init=False)

    # What it is

    @property
    def instance(self) -> str | None:
        """The random id of this `VAR_DIR`; None: nothing was ever set up."""
        try:
            found = (self.var_dir / "instance").read_text().strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise _not_ours(error) from None
        return found if found.isalnum() else None

    @property
    def folder(self) -> Path:
        return files.folder_of(self.var_dir, instance=self.instance or "none")

    @property
    def socket(self) -> Path:
        """The folder of the socket: `host` for a client. Valid once `use` has returned."""
        return files.socket_folder(self.folder, owner=files.account())

    @property
    def is_running(self) -> bool:
        """Whether any process of the server is alive."""
        with contextlib.suppress(FileNotFoundError), _opened(self.folder / "server.lock") as lock:
            return not _take(lock, fcntl.LOCK_EX)
        return False

    # Using it

    def use(self) -> None:
        """Start the server unless it runs, and keep it running until this process ends."""
        if self._users is not None and self._owner_process == os.getpid():
            return
        env.make_folder(self.var_dir)
        with self._alone():
            users = _open(self.var_dir / "postgres.users")
            fcntl.flock(users, fcntl.LOCK_SH)  # others take it alone only inside `_alone`
            try:
                self._ensure_started()
            except BaseException:
                os.close(users)
                raise
        first = self._users is None
        self._users, self._owner_process = users, os.getpid()
        if first:
            atexit.register(self.release)
            _exit_on_signals()

    def ensure(self) -> bool:
        """Start the server again if it has died; whether it had."""
        if self.is_running and self._postmaster() is not None:
            return False
        with self._alone():
            return self._ensure_started()

    def release(self) -> None:
        """End this process's use; the last user stops the server and waits for its end."""
        if self._users is None or self._owner_process != os.getpid():
            return  # a forked child shares its parent's lock: the parent decides
        users, self._users = self._users, None
        try:
            with self._alone():
                if _take(users, fcntl.LOCK_EX):
                    self._stop()
        finally:
            os.close(users)
            if self._server is not None:
                # Lives on for others; the interpreter must not warn about a forgotten child.
                self._server.returncode = self._server.poll() or 0

    def stop(self) -> bool:
        """Stop the server whoever uses it; whether it ran."""
        if self.instance is None:
            return False
        with self._alone():
            return self._stop()

    def remove(self) -> None:
        """Stop the server and delete everything in it, the id included.

        A copied `VAR_DIR` loses its id only: the cluster belongs to the original.
        """
        if self.instance is None:
            return
        with self._alone():
            if self._original() is not None:
                (self.var_dir / "instance").unlink()
                return
            self._stop()
            folder = self.folder
            shutil.rmtree(folder / "socket", ignore_errors=True)
            if (noted := files.noted_socket_folder(folder)) is not None:
                shutil.rmtree(noted, ignore_errors=True)
            (self.var_dir / "instance").unlink(missing_ok=True)
            shutil.rmtree(folder, ignore_errors=True)

    # Starting

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else starts, stops, makes or removes this cluster meanwhile."""
        try:
            lock = _open(self.var_dir / "postgres.lock")
        except PermissionError as error:
            raise _not_ours(error) from None
        except OSError as error:
            raise EmbeddedDatabaseError(f"{error.filename}: {error.strerror}.") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _ensure_started(self) -> bool:
        owner = files.account()
        programs = files.binaries()
        self._make_folder(owner, programs)
        data = self.folder / "cluster"
        deadline = time.monotonic() + START_SECONDS
        lock = _open(self.folder / "server.lock")
        try:
            if not _take(lock, fcntl.LOCK_EX):
                while not _take(lock, fcntl.LOCK_EX):
                    if (running := self._postmaster()) is not None:
                        if self._is_ready(running):
                            return False
                        _wait(deadline, f"see {self.folder / 'postgres.log'}")
                    else:
                        self._end_orphans(lock)
                        break
            # Nothing is alive: what a kill left behind would only mislead the new server.
            (data / "postmaster.pid").unlink(missing_ok=True)
            for leftover in self.socket.glob(".s.PGSQL.*"):
                leftover.unlink()
            if self._server is not None:
                self._server.wait()  # it is dead: nobody holds the lock
            self._spawn(owner, programs, lock=lock)
        finally:
            os.close(lock)
        assert self._server is not None
        while not self._is_ready(self._server.pid):
            if self._server.poll() is not None:
                tail = (self.folder / "postgres.log").read_text(errors="replace")[-2000:]
                raise EmbeddedDatabaseError(f"PostgreSQL did not start:\n{tail}")
            _wait(deadline, f"see {self.folder / 'postgres.log'}")
        return True

    def _make_folder(self, owner: files.Account, programs: Path) -> None:
        if self.instance is None:
            self._set_former_aside()
            _publish(self.var_dir / "instance", secrets.token_hex(8) + "\n")
        folder = self.folder
        if files.is_root():
            if (self.var_dir / "postgres").exists():
                raise EmbeddedDatabaseError(
                    f"The database in {self.var_dir} was made by an ordinary user: run as that "
                    "user, or set another VAR_DIR."
                )
            files.root_base()
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
            if files.is_root():  # the server's account may enter, not write
                os.chown(folder, 0, owner.gid)
                folder.chmod(0o750)
        self._refuse_copy()
        home = f"{self.var_dir}\n"
        if not (folder / "home").exists() or (folder / "home").read_text() != home:
            _publish(folder / "home", home)
        data = folder / "cluster"
        if not data.exists():
            files.make_cluster(folder, owner=owner, programs=programs, durable=self.durable)
        made_by = (data / "PG_VERSION").read_text().strip()
        installed = _major_version(programs)
        if made_by != installed:
            raise EmbeddedDatabaseError(
                f"The database was made by PostgreSQL {made_by}, installed is {installed}: make "
                "a backup with the release that made it and restore it with this one."
            )

    def _refuse_copy(self) -> None:
        """As root a copied `VAR_DIR` would share its id, hence its cluster, with the original."""
        if (home := self._original()) is not None:
            raise EmbeddedDatabaseError(
                f"{self.var_dir} is a copy of {home}, and the database belongs to that one: "
                f"delete {self.var_dir / 'instance'} to start with an empty database."
            )

    def _original(self) -> Path | None:
        """The `VAR_DIR` whose cluster this one's id names, if this one is a copy of it."""
        if files.is_root():
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                home = Path((self.folder / "home").read_text().strip())
                there, here = home / "instance", self.var_dir / "instance"
                if there.read_text() == here.read_text() and not there.samefile(here):
                    return home
        return None

    def _set_former_aside(self) -> None:
        former = [self.var_dir / name for name in _OF_A_DATABASE]
        if any(path.exists() for path in former):
            aside = self.var_dir / f"former-{secrets.token_hex(4)}"
            aside.mkdir(mode=0o700)
            for path in former:
                with contextlib.suppress(FileNotFoundError):
                    path.rename(aside / path.name)

    def _spawn(self, owner: files.Account, programs: Path, *, lock: int) -> None:
        data = self.folder / "cluster"
        command = [
            str(programs / "postgres"),
            "-D",
            str(data),
            "-k",
            str(self.socket),
            "-c",
            f"cluster_name={_tag(data)}",
            "-c",
            f"dynamic_shared_memory_type={_shared_memory()}",
        ]
        log_path = self.folder / "postgres.log"
        with contextlib.suppress(FileNotFoundError):
            if log_path.stat().st_size > 10_000_000:
                log_path.replace(log_path.with_suffix(".log.1"))
        with open(os.open(log_path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as log:
            self._server = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=data,
                env=files.CLEAN_ENVIRONMENT,
                umask=0o077,
                start_new_session=True,  # Ctrl-C in a terminal must not reach it
                pass_fds=(lock,),  # all processes of the server hold the lock while they live
                **files.switch(owner),
            )

    # Looking at it and ending it

    def _postmaster(self) -> int | None:
        """The id of the live postmaster of this cluster, told by its command line."""
        data = self.folder / "cluster"
        try:
            process = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            process = self._server.pid if self._server and self._server.poll() is None else 0
        words = _command_line(process)
        is_ours = str(data).encode() in words and f"cluster_name={_tag(data)}".encode() in words
        return process if process and is_ours else None

    def _is_ready(self, process: int) -> bool:
        with contextlib.suppress(OSError, IndexError):
            lines = (self.folder / "cluster" / "postmaster.pid").read_text().split("\n")
            return lines[0] == str(process) and lines[7].strip() == "ready"
        return False

    def _orphans(self) -> list[int]:
        """Backends of a postmaster that is gone: their titles begin with our tag."""
        title = f"postgres: {_tag(self.folder / 'cluster')}: ".encode()
        processes = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        return [found for found in processes if b" ".join(_command_line(found)).startswith(title)]

    def _end_orphans(self, lock: int) -> None:
        """They notice the death of their postmaster, except in the middle of long work."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while not _take(lock, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                for orphan in self._orphans():
                    _send(orphan, signal.SIGKILL)
            _wait(deadline + STOP_SECONDS, "processes of a dead server do not end")

    def _stop(self) -> bool:
        if self.instance is None or not self.folder.exists():
            return False
        with _opened(self.folder / "server.lock") as lock:
            started = time.monotonic()
            ran = False
            sent: signal.Signals | None = None
            while not _take(lock, fcntl.LOCK_EX):
                ran = True
                late = time.monotonic() - started > STOP_SECONDS
                wanted = signal.SIGQUIT if late else signal.SIGINT  # immediate, fast
                running = self._postmaster()
                if running is None:
                    self._end_orphans(lock)
                    break
                if sent != wanted:
                    _send(running, wanted)
                    sent = wanted
                _wait(started + 2 * STOP_SECONDS, "PostgreSQL does not stop")
        if self._server is not None:
            self._server.wait()
            self._server = None
        return ran


def _not_ours(error: PermissionError) -> EmbeddedDatabaseError:
    return EmbeddedDatabaseError(
        f"{error.filename} belongs to another user: run as that user, or set VAR_DIR."
    )


def _exit_on_signals() -> None:
    """Without a handler the interpreter would die at once and leave the server running.

    A program that handles these signals itself does so before or after: both stay.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _exit)


def _exit(number: int, _frame: object) -> None:
    """Raise SystemExit, and again each second until the process is really on its way out.

    Raised inside a destructor or a weak reference's callback, Python prints it and goes on: the
    signal would be lost and the process stay. A timer insists; a thread could not be started here
    safely.
    """
    if isinstance(sys.exc_info()[1], SystemExit):
        return  # already unwinding: what cleans up now must not be disturbed
    if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGALRM, lambda _alarm, frame: _exit(number, frame))
        signal.setitimer(signal.ITIMER_REAL, _INSIST_SECONDS, _INSIST_SECONDS)
        atexit.register(signal.setitimer, signal.ITIMER_REAL, 0)
    sys.exit(128 + number)


def _tag(data: Path) -> str:
    """Marks the processes of one cluster in the list of processes."""
    return f"tierwise-{hashlib.sha256(os.fsencode(data)).hexdigest()[:16]}"


def _major_version(programs: Path) -> str:
    with open(programs.parent / "share" / "postgres.bki") as file:
        return file.readline().split()[-1]  # "# PostgreSQL 18"


def _shared_memory() -> str:
    """Containers give /dev/shm 64 MB, too little for parallel queries: files then."""
    with contextlib.suppress(OSError):
        found = os.statvfs("/dev/shm")  # noqa: S108
        if found.f_frsize * found.f_bavail > 1_000_000_000:
            return "posix"
    return "mmap"


def _command_line(process: int) -> list[bytes]:
    if not process:
        return []
    try:
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2]
        if state.split()[0] == "Z":
            return []
        return Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
    except (OSError, IndexError):
        return []


def _send(process: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, what)


def _wait(deadline: float, otherwise: str) -> None:
    if time.monotonic() > deadline:
        raise EmbeddedDatabaseError(f"The embedded PostgreSQL: {otherwise}.")
    time.sleep(0.005)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        yield handle
    finally:
        os.close(handle)


def _take(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _publish(path: Path, content: str) -> None:
    """Write a small file whole or not at all, readable by its owner only."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
