from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from membership.queries import segment_document
from segmentation.management.arguments import instant, write_csv
from segmentation.management.base import ContractCommand


class Command(ContractCommand):
    """Members of a segment, as published."""

    help = "Show the members of a segment at the newest run, or at an as-of."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("key")
        parser.add_argument("--as-of", metavar="ISO")
        parser.add_argument("--export", metavar="FILE", type=Path, help="write a CSV file")

    def answer(
        self, *, key: str, as_of: str | None, export: Path | None, **_: Any
    ) -> Mapping[str, Any]:
        at = None if as_of is None else instant(as_of, path="/as_of")
        document = segment_document(key, as_of=at)
        if export is not None:
            write_csv(export, ["customer_id"], ([member] for member in document["members"]))
        return document
