from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management.base import CommandParser

from config.clock import now, real_now
from segmentation.domain.facts import FACT_KINDS
from segmentation.management.base import ContractCommand
from segmentation.services.importing import Progress, import_file


class Command(ContractCommand):
    help = "Record the facts of a CSV, CSV.gz or Parquet file"

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("kind", metavar="KIND", help=", ".join(FACT_KINDS))
        parser.add_argument("file", metavar="FILE", type=Path, help=".csv, .csv.gz or .parquet")
        parser.add_argument(
            "--rejects",
            metavar="FILE",
            type=Path,
            help="write rejected rows there, with the reason",
        )
        parser.add_argument(
            "--strict", action="store_true", help="reject rows of unknown customers"
        )

    def answer(self, **options: Any) -> Mapping[str, Any]:
        bar = _ProgressBar()
        try:
            counts = import_file(
                options["file"],
                kind=options["kind"],
                actor="operator",
                zone=ZoneInfo(settings.TIME_ZONE),
                base_currency=settings.BASE_CURRENCY,
                now=now(),
                recorded_at=real_now(),
                strict=options["strict"],
                rejects=options["rejects"],
                on_progress=bar.show,
            )
        finally:
            bar.end()
        return asdict(counts)

    def show(self, document: Mapping[str, Any]) -> None:
        numbers = ", ".join(f"{name} {document[name]}" for name in document if name != "kind")
        self.stdout.write(f"{document['kind']}: {numbers}")


class _ProgressBar:
    """A line on standard error, when somebody is looking."""

    _WIDTH = 30

    def __init__(self) -> None:
        self._is_shown = sys.stderr.isatty()
        self._start = time.monotonic()

    def show(self, progress: Progress) -> None:
        if not self._is_shown:
            return
        full = round(progress.part * self._WIDTH)
        speed = progress.rows / max(time.monotonic() - self._start, 0.001)
        bar = "#" * full + "." * (self._WIDTH - full)
        sys.stderr.write(f"\r[{bar}] {progress.rows:,} rows read, {speed:,.0f} rows/s ")
        sys.stderr.flush()

    def end(self) -> None:
        if self._is_shown:
            sys.stderr.write("\n")
