"""What every command of the contract shares: `--json`, error documents, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pghistory
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError
from psycopg.errors import UndefinedTable

from segmentation.domain.errors import NotAvailableError, Problem, TierwiseError


class ContractCommand(BaseCommand):
    """A command that answers with one document.

    Subclasses implement `add_options`, `answer` (does the work, returns the JSON document) and
    `show` (prints it for a person). Exit code 0 only on success, 3 for `not_available`, else 1.
    With `--json` standard output carries exactly one JSON document, also for an error.
    """

    # Changes rows whose history is kept: the command's name goes into it.
    is_audited = False

    def add_options(self, parser: CommandParser) -> None:
        """Arguments of this command, besides `--json`."""

    def answer(self, *_args: Any, **options: Any) -> Mapping[str, Any]:
        raise TypeError(f"{type(self).__name__} does not implement answer()")

    def show(self, document: Mapping[str, Any]) -> None:
        self.stdout.write(json.dumps(document, ensure_ascii=False, indent=2, default=str))

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON document")
        self.add_options(parser)

    def run_from_argv(self, argv: list[str]) -> None:
        """As Django does it; with `--json` wrong arguments are answered with a document too."""
        if "--json" in argv[2:]:
            try:
                # Called like this, and not from the command line, the parser raises.
                self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
            except CommandError as error:
                message = str(error).removeprefix("Error: ")
                problem = Problem("", "wrong_arguments", message)
                refusal = TierwiseError("The arguments are not valid.", problems=(problem,))
                self._fail(refusal, as_json=True)
        super().run_from_argv(argv)

    def handle(self, *args: Any, **options: Any) -> None:
        as_json = options.pop("json")
        try:
            with self._history():
                document = self.answer(**options)
        except TierwiseError as error:
            self._fail(error, as_json=as_json)
        except CommandError as error:
            self._fail(TierwiseError(str(error), code="invalid"), as_json=as_json)
        except OperationalError as error:
            message = f"The database can't do this: {str(error).strip()}"
            self._fail(TierwiseError(message, code="database_unavailable"), as_json=as_json)
        except Exception as error:
            if isinstance(error, ProgrammingError) and isinstance(error.__cause__, UndefinedTable):
                message = "The database is not set up. Run: manage.py setup"
                self._fail(TierwiseError(message, code="not_set_up"), as_json=as_json)
            if as_json:
                message = f"A defect of Tierwise ended the command: {type(error).__name__}."
                unforeseen = TierwiseError(message, code="internal_error")
                self.stdout.write(json.dumps(unforeseen.as_document()))
            raise  # the story of it goes to standard error
        if as_json:
            self.stdout.write(json.dumps(document, ensure_ascii=False, default=str))
        else:
            self.show(document)

    def _history(self) -> AbstractContextManager[Any]:
        if not self.is_audited:
            return nullcontext()
        found: AbstractContextManager[Any] = pghistory.context(
            command=type(self).__module__.rpartition(".")[2]
        )
        return found

    def _fail(self, error: TierwiseError, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps(error.as_document(), ensure_ascii=False, default=str))
        else:
            self.stderr.write(self.style.ERROR(f"{error.code}: {error.message}"))
            for problem in error.problems:
                self.stderr.write(f"  {problem.path or '/'}  {problem.code}: {problem.message}")
        sys.exit(3 if isinstance(error, NotAvailableError) else 1)
