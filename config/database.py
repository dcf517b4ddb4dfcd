"""Which database this process uses: the one of `DATABASE_URL`, else the embedded one, started."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from . import env
from .embedded import Cluster
from .embedded_files import DATABASE, ROLE

# Commands that read and write nothing: they must not start a server.
_IDLE_COMMANDS = frozenset(
    [
        "check",
        "clean",
        "collectstatic",
        "compilemessages",
        "diffsettings",
        "findstatic",
        "help",
        "makemessages",
        "spectacular",
        "startapp",
        "stop",
        "version",
    ]
)
_IDLE_PROGRAMS = frozenset(["mypy", "dmypy", "stubtest", "sphinx-build"])


def program(argv: list[str]) -> str:
    """What runs: the name of the script, or of the package for `python -m package`."""
    path = Path(argv[0] if argv else "")
    return path.parent.name if path.name == "__main__.py" else path.stem


def command(argv: list[str]) -> str | None:
    """The management command of `manage.py command ...`; None: another program."""
    if program(argv) not in ("manage", "django", "django-admin"):
        return None
    return argv[1] if len(argv) > 1 else "help"


def is_needed(argv: list[str]) -> bool:
    """Whether this program reads or writes the database."""
    if program(argv) in _IDLE_PROGRAMS:
        return False
    name = command(argv)
    if name is None:
        return True
    # Only Django's own `manage.py --version`: a command may have an option of that name.
    asks_help = name == "--version" or any(word in ("-h", "--help") for word in argv[1:])
    return not asks_help and name not in _IDLE_COMMANDS


@functools.cache
def embedded(var_dir: Path, *, durable: bool = True) -> Cluster:
    """The embedded cluster of this `VAR_DIR`; one object per process, so it is used once."""
    return Cluster(var_dir, durable=durable)


def entry(url: str, *, cluster: Cluster | None, is_open: bool) -> dict[str, object]:
    """Django's DATABASES entry; with `is_open` the embedded server runs until this process ends."""
    if cluster is None:
        found = env.database(url)
    else:
        if is_open:
            cluster.use()
        found = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE,
            "USER": ROLE,
            "PASSWORD": "",
            "HOST": str(cluster.socket) if is_open else str(cluster.folder / "socket"),
            "PORT": "",
            "OPTIONS": {},
        }
    return found | {"CONN_MAX_AGE": 60, "CONN_HEALTH_CHECKS": True}


def is_serving(argv: list[str]) -> bool:
    """Whether this program answers others: web server, worker, beat."""
    name = command(argv)
    is_web_server = "config.wsgi" in sys.modules  # whichever: it alone imports the entry point
    known = program(argv) in ("gunicorn", "celery") or name in ("serve", "runserver")
    return known or is_web_server


def is_setting_up(argv: list[str]) -> bool:
    """Whether this command decides itself what to do with other values than the stored ones."""
    return command(argv) in ("setup", "restore", "demo")
