from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from config.clock import real_now
from membership.services.verification import verify_run
from segmentation.management.base import ContractCommand


class Command(ContractCommand):
    """Derive a past run again and compare."""

    help = "Derive a run again from its facts, definitions and memberships, and compare hashes."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("run", type=int)

    def answer(self, *, run: int, **_: Any) -> Mapping[str, Any]:
        found = verify_run(run, now=real_now())
        return {
            "run": run,
            "recorded_hash": found.recorded_hash,
            "derived_hash": found.derived_hash,
            "equal": found.equal,
            "erased": found.erased,
        }
