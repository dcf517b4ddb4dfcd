from __future__ import annotations

import contextlib
import io
import json
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext

from config.clock import real_now
from config.supervisor import Services, ServicesRunningError
from membership.services import recompute
from membership.services.demo import (
    FACT_FILES,
    Login,
    as_ofs_to_do,
    demo_history,
    demo_logins,
    waiting_run,
)
from membership.services.demo_summary import ImportedFile, printed, summary
from membership.services.following import follow_run
from membership.tasks import execute_due_runs
from segmentation.models import Run
from segmentation.queries import newest_published_run

FOLDER = Path(settings.BASE_DIR) / "demo"
WORKER_SECONDS = 120.0  # for a worker to take a run: it starts slowly on a loaded machine
WAKE_AGAIN_SECONDS = 5.0


class Command(BaseCommand):
    help = (
        "Loads the sample data and the example definitions, recomputes the demo's months through "
        "a worker, prints a summary and serves until Ctrl-C. Safe to run again."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-serve", action="store_true", help="end after the summary")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self._demo(serve=not options["no_serve"])
        except KeyboardInterrupt:
            raise SystemExit(128 + signal.SIGINT) from None

    def _demo(self, *, serve: bool) -> None:
        zone = ZoneInfo(settings.TIME_ZONE)
        self._apply()
        imported = [self._import(kind, FOLDER / "facts" / name) for kind, name in FACT_FILES]
        logins = demo_logins(settings.VAR_DIR / "demo-logins")
        with self._services(serve=serve) as services:
            self._recompute(as_ofs_to_do(zone), zone)
            self._summarise(imported, zone)
            self._say_where(services, logins)
            if serve and services.is_own:
                self._say(gettext("Serving until Ctrl-C."))
                _until_told_to_end()
                self._say(gettext("Stopping ..."))

    def _apply(self) -> None:
        answer = _answer("apply", str(FOLDER / "definitions.yaml"))
        self._say(
            gettext("Definitions: %(created)d created, %(changed)d changed, %(same)d unchanged")
            % {
                "created": len(answer["created"]),
                "changed": len(answer["changed"]),
                "same": len(answer["unchanged"]),
            }
        )

    def _import(self, kind: str, path: Path) -> ImportedFile:
        started = time.monotonic()
        answer = _answer("import", kind, str(path))
        seconds = time.monotonic() - started
        self._say(
            gettext("Imported %(file)s: %(read)d rows in %(seconds).1f s")
            % {"file": path.name, "read": answer["read"], "seconds": seconds}
        )
        counts = ("read", "inserted", "unchanged", "updated", "rejected")
        return ImportedFile(kind=kind, seconds=seconds, **{name: answer[name] for name in counts})

    @contextlib.contextmanager
    def _services(self, *, serve: bool) -> Iterator[_Serving]:
        """Services for as long as the block lasts; those that run already are used and left."""
        services = Services(
            var_dir=settings.VAR_DIR,
            web=serve,
            beat=serve,
            secret_key=settings.SECRET_KEY,
            cluster=settings.EMBEDDED,
            log=_log(),
        )
        try:
            services.start()
        except ServicesRunningError as error:
            yield _Serving(url=error.running.url, is_own=False)
            return
        try:
            yield _Serving(url=services.url, is_own=True)
        finally:
            services.stop()

    def _recompute(self, as_ofs: Sequence[datetime], zone: ZoneInfo) -> None:
        for as_of in as_ofs:
            started = time.monotonic()
            run = waiting_run(as_of) or recompute.request_run(
                as_of=as_of, actor="demo", now=real_now()
            )
            _await_worker(run.pk)
            run = follow_run(run.pk, clock=real_now, may_work=False)
            if run.status not in (Run.Status.PUBLISHED, Run.Status.HISTORICAL):
                label = Run.Status(run.status).label
                raise CommandError(
                    f"Run {run.pk} of {as_of.astimezone(zone):%Y-%m-%d}: {label}. {run.error}"
                )
            self._say(
                gettext("Recomputed %(day)s: run %(run)d in %(seconds).1f s")
                % {
                    "day": f"{as_of.astimezone(zone):%Y-%m-%d}",
                    "run": run.pk,
                    "seconds": time.monotonic() - started,
                }
            )

    def _summarise(self, imported: Sequence[ImportedFile], zone: ZoneInfo) -> None:
        run = newest_published_run()
        if run is None:
            raise CommandError("Nothing was published.")
        tables = summary(imported, run=run, history=demo_history(zone), zone=zone)
        self.stdout.write("\n" + printed(tables) + "\n")

    def _say_where(self, services: _Serving, logins: Sequence[Login]) -> None:
        if services.url:
            self._say(gettext("Address: %(url)s") % {"url": services.url})
        for login in logins:
            self._say(
                gettext("Log-in: %(name)s, password %(password)s (%(role)s)")
                % {"name": login.name, "password": login.password, "role": login.role}
            )
        self._say(
            gettext("The log-ins are kept in %(path)s.")
            % {"path": settings.VAR_DIR / "demo-logins"}
        )

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


@dataclass(frozen=True, slots=True)
class _Serving:
    """Where the services answer ("" without a web server) and whether this command started them."""

    url: str
    is_own: bool


def _answer(command: str, *words: str) -> dict[str, Any]:
    """What a command of the contract answers: the demo does what a person could type."""
    printed_document = io.StringIO()
    try:
        call_command(command, *words, "--json", stdout=printed_document)
    except SystemExit as end:
        error = json.loads(printed_document.getvalue() or "{}")
        details = "".join(
            f"\n  {problem['path'] or '/'}  {problem['code']}: {problem['message']}"
            for problem in error.get("details", ())
        )
        words_ = f"{error.get('message', f'exit code {end.code}')}{details}"
        raise CommandError(f"{command}: {words_}") from None
    answer: dict[str, Any] = json.loads(printed_document.getvalue())
    return answer


def _log() -> Path:
    """Where worker, beat and web server write while the demo runs: the summary stays readable."""
    return Path(settings.VAR_DIR) / "services.log"


def _await_worker(run_id: int) -> None:
    """Until a worker has taken the run. Lost wake-ups cost seconds, never the run."""
    started = woken = time.monotonic()
    while Run.objects.filter(pk=run_id, status=Run.Status.QUEUED).exists():
        now = time.monotonic()
        if now - started > WORKER_SECONDS:
            raise CommandError(
                f"No worker took run {run_id} within {WORKER_SECONDS:.0f} seconds; "
                f"{_log()} says why."
            )
        if now - woken > WAKE_AGAIN_SECONDS:
            woken = now
            execute_due_runs.delay()
        time.sleep(0.05)


def _until_told_to_end() -> None:
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    ended.wait()
