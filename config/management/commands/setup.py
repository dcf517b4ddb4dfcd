from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from config.setup import set_up


class Command(BaseCommand):
    help = (
        "Creates or updates the tables and stores TIME_ZONE, BASE_CURRENCY and CLOCK_START. "
        "Safe to run again."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--replace-unused",
            action="store_true",
            help="store other values than before if the database holds nothing yet",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = set_up(settings.WANTED, replace_unused=options["replace_unused"])
        if options["verbosity"] > 0:
            clock = f", clock from {found.clock_start.isoformat()}" if found.clock_start else ""
            self.stdout.write(f"Database ready: {found.time_zone}, {found.base_currency}{clock}")
