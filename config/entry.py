"""What `manage.py` does before a command, so that it finds a database that is set up."""

from __future__ import annotations

import os
import sys

from . import database, fixed

# These make or change the database's set-up themselves, or need none.
_WITHOUT_SET_UP = frozenset(
    [
        "setup",
        "migrate",
        "makemigrations",
        "showmigrations",
        "sqlmigrate",
        "squashmigrations",
        "dbshell",
        "shell",
        "restore",
        "test",
        "flush",
        "sqlflush",
        "createcachetable",
    ]
)
# `make demo` shows purchases of 1997 and 1998 in New York as if they were today's.
DEMO = {
    "TIME_ZONE": "America/New_York",
    "BASE_CURRENCY": "USD",
    "CLOCK_START": "2018-01-01T00:00:00-05:00",
}


def prepare(argv: list[str]) -> None:
    """Before the command of `argv` runs: the demo's own values, an empty database."""
    name = database.command(argv)
    if name == "demo":
        for variable, value in DEMO.items():
            if not os.environ.get(variable, "").strip():
                os.environ[variable] = value
    if name is None or name in _WITHOUT_SET_UP or not database.is_needed(argv):
        return
    from django.conf import settings

    if (settings.EMBEDDED is not None and settings.FIXED is None) or name == "demo":
        import django
        from django.core.management import call_command

        django.setup()
        # Standard output belongs to the command itself.
        call_command("setup", replace_unused=name == "demo", stdout=sys.stderr)
        if (
            settings.FIXED is not None
            and fixed.read(settings.DATABASES["default"]) != settings.FIXED
        ):
            if settings.EMBEDDED is not None:
                settings.EMBEDDED.release()  # this process forgets its children when it begins anew
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606  settings read what is stored now
