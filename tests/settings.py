"""Settings of a test session: a `VAR_DIR` of its own, and without `DATABASE_URL` a PostgreSQL of
its own, so neither the developer's data nor a service of the machine can take part.

A session that was killed leaves its folder and perhaps its server behind; the next one finds and
removes them.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

from config.embedded import Cluster

_SESSIONS = Path(tempfile.gettempdir()) / f"tierwise-tests-{os.geteuid()}"


def _session_folder() -> Path:
    _SESSIONS.mkdir(mode=0o700, exist_ok=True)
    found = _SESSIONS.lstat()
    closed = stat.S_ISDIR(found.st_mode) and not found.st_mode & 0o077
    if not closed or found.st_uid != os.geteuid():
        raise SystemExit(f"{_SESSIONS} must be a folder that only you can enter: move it away.")
    with open(_SESSIONS / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for former in _SESSIONS.iterdir():
            if former.is_dir():
                _remove_abandoned(former)
        folder = Path(tempfile.mkdtemp(dir=_SESSIONS))
        # Held until the session ends; a fork of it (a server, a worker) does not hold it.
        alive = os.open(folder / "alive", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
    return folder


def _remove_abandoned(folder: Path) -> None:
    with open(folder / "alive", "a") as alive:
        try:
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        _remove(folder)


def _remove(folder: Path) -> None:
    for var_dir in (folder, *(found for found in folder.iterdir() if found.is_dir())):
        Cluster(var_dir).remove()
    shutil.rmtree(folder, ignore_errors=True)


SESSION_DIR = _session_folder()
_OWNER = os.getpid()


@atexit.register
def _end_session() -> None:
    if os.getpid() == _OWNER:
        _remove(SESSION_DIR)


os.environ["VAR_DIR"] = str(SESSION_DIR / "var")
os.environ["TIERWISE_TESTING"] = "1"
for _name in ("TIME_ZONE", "BASE_CURRENCY", "CLOCK_START", "PORT", "ENGINE_URL", "HTTPS",
              "SECOND_FACTOR"):  # fmt: skip
    os.environ.pop(_name, None)

from config.settings import *  # noqa: E402, F403

SECOND_FACTOR = "optional"  # its own tests require it
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
