"""Problems found in a document, a file or a request: all of them, each with its place."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    `path` is a JSON pointer into what was sent ("" for the whole of it), `code` is stable and
    meant for machines, `message` is an English sentence that says what to do instead.
    """

    path: str
    code: str
    message: str


class TierwiseError(Exception):
    """An error a caller can act on: a stable `code`, a sentence and every problem found."""

    code = "invalid"

    def __init__(
        self, message: str, *, code: str | None = None, problems: tuple[Problem, ...] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.problems = problems

    def as_document(self) -> dict[str, Any]:
        """The contract's error document: `{code, message, details: [{path, code, message}]}`."""
        return {
            "code": self.code,
            "message": self.message,
            "details": [asdict(problem) for problem in self.problems],
        }


class NotAvailableError(TierwiseError):
    """What was asked for is part of a later release (exit code 3)."""

    code = "not_available"


class NotFoundError(TierwiseError):
    """No such object, or none this caller may know of."""

    code = "not_found"
