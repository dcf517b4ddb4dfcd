from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandParser

from config.clock import now, real_now
from membership.queries import run_document
from membership.services.following import follow_run
from membership.services.recompute import request_run
from segmentation.domain.errors import TierwiseError
from segmentation.management.arguments import instant
from segmentation.management.base import ContractCommand
from segmentation.models import Run


class Command(ContractCommand):
    """Recompute metrics, tags, layers, segments and memberships through a worker."""

    help = "Recompute everything at one as-of, through a Celery worker."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("--as-of", metavar="ISO", help="default: now by the project's clock")
        parser.add_argument("--dry-run", action="store_true", help="compute, publish nothing")
        parser.add_argument("--wait", action="store_true", help="follow the run to its end")

    def answer(
        self, *, as_of: str | None, dry_run: bool, wait: bool, **_: Any
    ) -> Mapping[str, Any]:
        at = now() if as_of is None else instant(as_of, path="/as_of")
        run = request_run(as_of=at, actor="operator", now=real_now(), is_dry_run=dry_run)
        if not wait:
            return run_document(run)
        run = follow_run(run.pk, clock=real_now, on_stage=self._show_stage)
        if run.status == Run.Status.FAILED:
            raise TierwiseError(f"Run {run.pk} failed: {run.error}", code="run_failed")
        if run.status == Run.Status.HELD:
            self.stderr.write(
                f"Run {run.pk} is held: it found something quite unlike the runs before it. The "
                "last published result stays until somebody releases or rejects it, on its page or "
                "with release_run and reject_run."
            )
        if run.is_dry_run and run.held_reasons:
            self.stderr.write(
                f"Run {run.pk} would be held, were it no dry run: it found something quite unlike "
                "the runs before it."
            )
        return run_document(run)

    def _show_stage(self, run: Run) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"run {run.pk}: {run.stage or run.get_status_display()} ...")
