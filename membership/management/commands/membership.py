from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from membership.queries import program_document
from segmentation.management.arguments import instant, write_csv
from segmentation.management.base import ContractCommand

COLUMNS = ("customer_id", "tier", "since", "until")


class Command(ContractCommand):
    """Members of a program with their tiers, as published."""

    help = "Show the members of a program at the newest run, or at an as-of."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("program")
        parser.add_argument("--as-of", metavar="ISO")
        parser.add_argument("--export", metavar="FILE", type=Path, help="write a CSV file")

    def answer(
        self, *, program: str, as_of: str | None, export: Path | None, **_: Any
    ) -> Mapping[str, Any]:
        at = None if as_of is None else instant(as_of, path="/as_of")
        document = program_document(program, as_of=at)
        if export is not None:
            rows = ([member[name] for name in COLUMNS] for member in document["members"])
            write_csv(export, COLUMNS, rows)
        return document
