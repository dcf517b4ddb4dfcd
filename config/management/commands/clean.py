from __future__ import annotations

import shutil
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config import database
from config.supervisor import stop_running

# What we make in VAR_DIR; a file of somebody else's there stays.
_OURS = [
    "beat",
    "broker",
    "cache",
    "erasures",
    "mirror",
    "postgres",
    "postgres.lock",
    "postgres.users",
    "runs",
    "secrets",
    "services",
    "static",
    "spill",
    "exports",
    "jobs",
    "demo-logins",
    "services.log",
]


class Command(BaseCommand):
    help = "Stops everything and deletes the embedded database and all that lies in VAR_DIR."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        stop_running(settings.VAR_DIR)
        if not settings.VAR_DIR.exists():
            return
        # Also with DATABASE_URL: what was embedded before lies there still, perhaps running.
        database.embedded(settings.VAR_DIR).remove()
        ours = [settings.VAR_DIR / name for name in _OURS]
        # The last are what a killed restore left: a whole database, readable.
        for pattern in ("former-*", ".tierwise-*"):
            ours += settings.VAR_DIR.glob(pattern)
        for path in ours:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        if not any(settings.VAR_DIR.iterdir()):
            settings.VAR_DIR.rmdir()
