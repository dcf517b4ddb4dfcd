from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from config.backup import BackupError, restore
from config.setup import is_unused
from config.supervisor import running


class Command(BaseCommand):
    help = "Puts a backup in the place of everything in this installation."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--replace", action="store_true", help="delete what this installation holds now"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if found := running(settings.VAR_DIR):
            raise CommandError(f"The services run (process {found.process}): 'make stop' first.")
        holds_data = "segmentation_factbatch" in connection.introspection.table_names()
        if holds_data and not is_unused() and not options["replace"]:
            raise CommandError(
                "This installation holds data. To delete it and restore: --replace "
                "(make restore FILE=... REPLACE=1)."
            )
        connection.close()
        try:
            made = restore(
                options["file"], database=settings.DATABASES["default"], var_dir=settings.VAR_DIR
            )
        except BackupError as error:
            raise CommandError(str(error)) from None
        call_command("migrate", interactive=False, verbosity=0)  # the backup may be older
        self._redo_erasures()
        self.stdout.write(f"Restored what was backed up at {made.made_at}.")

    def _redo_erasures(self) -> None:
        """In a process of its own: this one began with the secrets that were here before."""
        connection.close()
        program = [sys.executable, str(settings.BASE_DIR / "manage.py"), "redo_erasures"]
        done = subprocess.run(program, check=False)  # noqa: S603
        if done.returncode:
            raise CommandError(
                "The backup is restored, but it may hold people who were erased after it was made: "
                "serve nobody before 'manage.py redo_erasures' succeeds."
            )
