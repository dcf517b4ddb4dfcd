from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from segmentation.domain.errors import NotAvailableError
from segmentation.management.base import ContractCommand


class Command(ContractCommand):
    """What a program version would do to members and cost; answers `not_available` until then."""

    help = "Simulate a program version over past steps (part of a later release)."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        # Every command of Django's has a --version of its own; here it names the program's.
        return super().create_parser(prog_name, subcommand, conflict_handler="resolve", **kwargs)

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("program")
        parser.add_argument("--version", metavar="N", type=int, help="default: the newest")
        parser.add_argument("--from", dest="start", metavar="ISO")
        parser.add_argument("--to", dest="end", metavar="ISO")

    def answer(self, **_: Any) -> Mapping[str, Any]:
        raise NotAvailableError("Simulation is part of a later release.")
