from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from config import database
from config.supervisor import stop_running


class Command(BaseCommand):
    help = "Stops the services and the embedded database of this VAR_DIR."
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        services = stop_running(settings.VAR_DIR)
        embedded = database.embedded(settings.VAR_DIR).stop()
        self.stdout.write("Stopped." if services or embedded else "Nothing was running.")
