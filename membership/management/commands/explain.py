"""`explain EXTERNAL_ID segment:KEY|tier:PROGRAM [--as-of ISO]`: why, with every value looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import CommandParser

from membership.services.explain import explain
from segmentation.management.arguments import instant
from segmentation.management.base import ContractCommand
from segmentation.queries import run_answering


class Command(ContractCommand):
    help = "Says why a customer is in a segment or qualifies for a tier."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("external_id")
        parser.add_argument("subject", help="segment:KEY or tier:PROGRAM")
        parser.add_argument("--as-of", help="ISO time; default: the current results")

    def answer(self, **options: Any) -> Mapping[str, Any]:
        zone = ZoneInfo(settings.TIME_ZONE)
        wanted = options["as_of"]
        as_of = None if wanted is None else instant(wanted, path="/as_of")
        return explain(
            options["external_id"],
            subject=options["subject"],
            run=run_answering(as_of),
            zone=zone,
            currency=settings.BASE_CURRENCY,
        )

    def show(self, document: Mapping[str, Any]) -> None:
        sentence = document["sentence"]
        self.stdout.write(sentence["en"])
        self.stdout.write(sentence["zh-hans"])
        self.stdout.write("")
        self._show_node(document["tree"], depth=0)

    def _show_node(self, node: Mapping[str, Any], *, depth: int) -> None:
        mark = "+" if node["verdict"] else "-"
        if "leaf" in node:
            interval = node["interval"]
            within = f"  [{interval[0] or '...'}, {interval[1]})" if interval else ""
            actual = "missing" if node["missing"] else node["actual"]
            words = f"{node['leaf']} {node['cmp']} {node['value']}: {actual}{within}"
        else:
            words = node.get("tier") or node["node"]
        self.stdout.write(f"{'  ' * depth}{mark} {words}")
        for child in node.get("children", ()):
            self._show_node(child, depth=depth + 1)
