from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from membership.queries import profile_document
from segmentation.management.base import ContractCommand


class Command(ContractCommand):
    """Everything the newest run says about one customer."""

    help = "Show metrics, tags, layers, memberships and segments of one customer."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("external_id")

    def answer(self, *, external_id: str, **_: Any) -> Mapping[str, Any]:
        return profile_document(external_id)
