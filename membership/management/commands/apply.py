"""`apply FILE... [--dry-run]`: make definitions documents current."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from config import clock
from membership.domain.documents import Source
from membership.services.applying import apply_documents
from segmentation.domain.errors import Problem, TierwiseError
from segmentation.management.base import ContractCommand

OPERATOR = "operator"  # whoever works on the machine itself


class Command(ContractCommand):
    help = "Make definitions documents (YAML or JSON) current: all of them or nothing."
    is_audited = True

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("files", nargs="+", metavar="FILE", help="a document; - is the input")
        parser.add_argument("--dry-run", action="store_true", help="check only, change nothing")
        parser.add_argument(
            "--override-freeze",
            metavar="REASON",
            default="",
            help="publish although the promotion calendar freezes publishing; kept in the history",
        )

    def answer(self, **options: Any) -> Mapping[str, Any]:
        files: list[str] = options["files"]
        applied = apply_documents(
            _read(files),
            actor=OPERATOR,
            reason=f"apply {' '.join(Path(file).name for file in files)}",
            now=timezone.now(),
            dry_run=options["dry_run"],
            project_now=clock.now(),
            override_freeze=options["override_freeze"],
        )
        return applied.as_document()

    def show(self, document: Mapping[str, Any]) -> None:
        for name in ("created", "changed", "unchanged"):
            refs = document[name]
            self.stdout.write(f"{name}: {len(refs)}{'  ' if refs else ''}{', '.join(refs)}")
        for warning in document["warnings"]:
            self.stdout.write(f"warning {warning['path']}  {warning['message']}")


def _read(files: list[str]) -> list[Source]:
    """The files' texts; reports all that can't be read at once."""
    sources: list[Source] = []
    problems: list[Problem] = []
    for file in files:
        try:
            raw = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
            sources.append(Source(Path(file).name, raw.decode("utf-8-sig")))
        except OSError as error:
            problems.append(Problem("", "unreadable", f"{file}: {error.strerror}"))
        except UnicodeDecodeError:
            problems.append(Problem("", "unreadable", f"{file}: not UTF-8; save it as UTF-8."))
    if problems:
        raise TierwiseError("A file can't be read; nothing was applied.", problems=tuple(problems))
    return sources
