from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.backup import BackupError, back_up
from config.clock import real_now


class Command(BaseCommand):
    help = "Writes everything that must survive into one file: database, snapshots, secrets."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            made = back_up(
                options["file"],
                database=settings.DATABASES["default"],
                var_dir=settings.VAR_DIR,
                now=real_now(),
            )
        except BackupError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{options['file']}: database {made.database_bytes:,} bytes, {made.files:,} files. "
            "It holds personal data and secrets: keep it closed."
        )
