from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from config.clock import now, real_now
from membership.services.instant_loop import drain, serve
from segmentation.management.base import ContractCommand


class Command(ContractCommand):
    """Change tiers as facts come in through the API, between the runs."""

    help = "Look at customers whose facts came in through the API, until it is stopped."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once", action="store_true", help="do what is due now, say what was done, and end"
        )

    def answer(self, *, once: bool, **_: Any) -> Mapping[str, Any]:
        if once:
            return asdict(drain(clock=now, real=real_now))
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_args: stop.set())
        serve(stop, clock=now, real=real_now)
        return {"stopped": True}
