from __future__ import annotations

import signal
import threading
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError

from config.supervisor import Services, ServicesRunningError


class Command(BaseCommand):
    help = "Runs web server, workers and beat until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.EMBEDDED is not None:
            call_command("setup", verbosity=0)
        services = Services(
            var_dir=settings.VAR_DIR,
            web=True,
            beat=True,
            secret_key=settings.SECRET_KEY,
            cluster=settings.EMBEDDED,
        )
        ended = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: ended.set())
        try:
            with services:
                self.stdout.write(self.style.SUCCESS(f"Serving at {services.url} (Ctrl-C ends it)"))
                if settings.CLOCK_START is not None:
                    self.stdout.write(
                        "The project's clock is not the real one: it started at "
                        f"{settings.CLOCK_START.isoformat()} when the database was set up."
                    )
                self.stdout.flush()
                ended.wait()
                self.stdout.write("Stopping ...")
        except ServicesRunningError as error:
            where = f" at {error.running.url}" if error.running.url else ""
            raise CommandError(f"{error}{where} 'make stop' ends them.") from None
