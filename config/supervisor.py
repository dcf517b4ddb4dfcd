"""The services of one `VAR_DIR`: web, two workers, beat; started, watched and ended together.

Only one supervisor runs them at a time: it holds the lock of `VAR_DIR/services`, which carries its
process id and its URL for others to find.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import structlog

from . import env
from .embedded import Cluster
from .embedded_files import EmbeddedDatabaseError

_log = structlog.get_logger(__name__)

STOP_SECONDS = 20.0
RESTART_SECONDS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)  # back-off; the last one for ever
STEADY_SECONDS = 30.0  # alive for so long: the next death starts at the shortest wait again


class ServicesRunningError(Exception):
    """Services of this `VAR_DIR` run already."""

    def __init__(self, running: Running) -> None:
        super().__init__(f"The services run already (process {running.process}).")
        self.running = running


@dataclass(frozen=True, slots=True)
class Running:
    """Services that run: whose they are and where the web server answers ("" without one)."""

    process: int
    url: str


@dataclass
class _Child:
    name: str
    command: list[str]
    pass_fds: tuple[int, ...] = ()
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    due: float = 0.0  # when to start it (again), on the monotonic clock


@dataclass
class Services:
    """`with Services(var_dir, web=False, beat=False): ...` runs workers and the loop of the instant
    path for the block's duration.

    Raises ServicesRunningError if services of this `VAR_DIR` run already. Children that die are
    started again, with a growing pause; if this process dies, they die too.
    """

    var_dir: Path
    web: bool
    beat: bool
    secret_key: str
    cluster: Cluster | None = None
    log: Path | None = None  # where the children's output is appended; None: this process's own
    url: str = field(default="", init=False)
    _lock: int = field(default=-1, init=False)
    _listener: socket.socket | None = field(default=None, init=False)
    _children: list[_Child] = field(default_factory=list, init=False)
    _ending: threading.Event = field(default_factory=threading.Event, init=False)
    _watcher: threading.Thread | None = field(default=None, init=False)
    _database: _Child = field(default_factory=lambda: _Child("database", []), init=False)

    def __enter__(self) -> Services:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def start(self) -> None:
        self._lock = _take(self.var_dir)
        try:
            if self.web:
                self._listener = listen(env.integer("PORT", 8000))
                self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
            _announce(self._lock, url=self.url)
            self._children = self._planned()
            # A child dies when the thread that started it ends, so one thread starts them all.
            self._watcher = threading.Thread(target=self._watch, name="services", daemon=True)
            self._watcher.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that was started, in order, and wait for it."""
        self._ending.set()
        if self._watcher is not None:
            self._watcher.join()
            self._watcher = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._lock >= 0:
            with contextlib.suppress(OSError):
                os.ftruncate(self._lock, 0)
            os.close(self._lock)
            self._lock = -1

    def _planned(self) -> list[_Child]:
        # As root Celery warns at every start; messages are JSON, never pickles, so it may run.
        python = [sys.executable, "-W", "ignore:::celery.platforms", "-m"]
        celery = [*python, "celery", "-A", "config", "--quiet"]
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        common = [*celery, "worker", "--loglevel", "INFO", *quiet, "--concurrency", "1"]
        found = [
            _Child("worker-runs", [*common, "--queues", "runs", "--hostname", "runs@%h"]),
            _Child("worker-default", [*common, "--queues", "default", "--hostname", "default@%h"]),
        ]
        instant = [sys.executable, "manage.py", "instant"]
        found.append(_Child("instant", instant))
        if self.beat:
            schedule = str(self.var_dir / "beat")
            found.append(_Child("beat", [*celery, "beat", "--pidfile=", "--schedule", schedule]))
        if self._listener is not None:
            handle = self._listener.fileno()
            gunicorn = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"fd://{handle}"]
            sizes = ["--workers", "2", "--threads", "4", "--worker-tmp-dir", "/dev/shm"]  # noqa: S108
            web = [*gunicorn, *sizes, "--timeout", "120", "--log-level", "warning"]
            found.append(_Child("web", web, pass_fds=(handle,)))
        return found

    def _watch(self) -> None:
        while not self._ending.is_set():
            self._look_after_database()
            for child in self._children:
                self._look_after(child)
            self._ending.wait(0.3)
        self._end_all()

    def _look_after_database(self) -> None:
        """A database that can't start (a full disk) is tried again: an error that left this thread
        would take all services with it and leave their supervisor behind."""
        if self.cluster is None or time.monotonic() < self._database.due:
            return
        try:
            if self.cluster.ensure():
                _log.warning("the embedded database had died and was started again")
            self._database.deaths = 0
        except (EmbeddedDatabaseError, OSError) as error:
            pause = self._pause(self._database)
            _log.error("the embedded database can't start", error=str(error), again_in=pause)

    @staticmethod
    def _pause(child: _Child) -> float:
        """Note a death; how many seconds until the next start."""
        pause = RESTART_SECONDS[min(child.deaths, len(RESTART_SECONDS) - 1)]
        child.deaths += 1
        child.due = time.monotonic() + pause
        return pause

    def _look_after(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None and (code := child.process.poll()) is not None:
            child.process = None
            if now - child.started > STEADY_SECONDS:
                child.deaths = 0
            pause = self._pause(child)
            _log.warning("a service died", service=child.name, code=code, again_in=pause)
        if child.process is None and now >= child.due:
            child.started = now
            guard = [
                sys.executable,
                "-m",
                "config.child",
                str(os.getpid()),
                str(int(signal.SIGTERM)),
            ]
            with self._output() as output:
                child.process = subprocess.Popen(  # noqa: S603
                    [*guard, *child.command],
                    cwd=Path(__file__).resolve().parent.parent,
                    env=os.environ | {"SECRET_KEY": self.secret_key, "VAR_DIR": str(self.var_dir)},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=child.pass_fds,
                    start_new_session=True,  # a terminal's Ctrl-C reaches only the supervisor
                )

    @contextlib.contextmanager
    def _output(self) -> Iterator[IO[bytes] | None]:
        if self.log is None:
            yield None
            return
        with open(os.open(self.log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as file:
            yield file

    def _end_all(self) -> None:
        """Beat and web first, so nothing new comes in; then the workers, which finish or return
        what they hold."""
        order = sorted(self._children, key=lambda child: child.name.startswith("worker"))
        deadline = time.monotonic() + STOP_SECONDS
        for child in order:
            if child.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    child.process.terminate()
        for child in order:
            if child.process is not None:
                try:
                    child.process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(child.process.pid, signal.SIGKILL)
                    child.process.wait()
                child.process = None


def listen(port: int) -> socket.socket:
    """A listening socket on `HOST` (default: this machine only) at `port` or the next free one."""
    host = env.text("HOST", "127.0.0.1")
    if not 0 <= port < 65536:
        raise env.BadEnvironment(f"PORT={port}: write a number from 0 to 65535")
    for candidate in range(port, min(port + 1000, 65536)):
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((host, candidate))
            found.listen(256)
        except OSError:
            found.close()
            continue
        found.set_inheritable(True)
        return found
    raise env.BadEnvironment(f"PORT={port}: no port is free from here on")


def running(var_dir: Path) -> Running | None:
    """The services of this `VAR_DIR` that run now."""
    try:
        handle = os.open(var_dir / "services", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return _announced(handle)
    finally:
        os.close(handle)
    return None


def stop_running(var_dir: Path, *, seconds: float = STOP_SECONDS + 15) -> bool:
    """End the services of this `VAR_DIR` whoever started them; whether there were any."""
    found = running(var_dir)
    if found is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.process, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while running(var_dir) is not None:
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.process, signal.SIGKILL)  # its children go with it
            deadline += seconds
        time.sleep(0.05)
    return True


def _take(var_dir: Path) -> int:
    env.make_folder(var_dir)
    handle = os.open(var_dir / "services", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        found = _announced(handle)
        os.close(handle)
        raise ServicesRunningError(found) from None
    return handle


def _announce(handle: int, *, url: str) -> None:
    os.ftruncate(handle, 0)
    os.pwrite(handle, json.dumps({"process": os.getpid(), "url": url}).encode(), 0)


def _announced(handle: int) -> Running:
    for _attempt in range(100):  # between taking the lock and writing lie microseconds
        with contextlib.suppress(ValueError, KeyError):
            found = json.loads(os.pread(handle, 4096, 0))
            return Running(process=found["process"], url=found["url"])
        time.sleep(0.01)
    raise SystemExit("The services are just starting or ending: try again.")
