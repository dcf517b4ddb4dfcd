"""Query parameters, read all at once: every problem is told with its place."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils.translation import gettext as _
from rest_framework.request import Request

from segmentation.domain.errors import Problem, TierwiseError
from segmentation.domain.reading.place import pointer
from segmentation.services.instants import instant

DEFAULT_LIMIT = 100
LARGEST_LIMIT = 1000
_LONGEST_NUMBER = 18  # digits; fits PostgreSQL's bigint
_FORMAT = "format"  # Django REST framework reads it


class Parameters:
    """Reads a request's parameters one by one, then `check` raises what was wrong with any.

    `known` are the names an endpoint reads; another name is a problem, so that a misspelt filter
    is never silently no filter.
    """

    def __init__(self, request: Request, *, known: Collection[str]) -> None:
        self._sent: Mapping[str, str] = request.query_params
        self._problems: list[Problem] = []
        for name in self._sent:
            if name not in known and name != _FORMAT:
                listed = ", ".join(sorted(known))
                message = (
                    _("Parameters are: %(known)s.") % {"known": listed}
                    if known
                    else _("There are no parameters here.")
                )
                self.refuse(name, "unknown_parameter", message)

    def refuse(self, name: str, code: str, message: str) -> None:
        """Note a problem with a parameter."""
        self._problems.append(Problem(pointer("", name), code, message))

    def check(self) -> None:
        """Raise `invalid` with all problems, if there are any."""
        if self._problems:
            raise TierwiseError(_("What was sent can't be used."), problems=tuple(self._problems))

    def text(self, name: str) -> str | None:
        """A text as it was sent; None when it was not, or is no text that can be stored."""
        sent = self._sent.get(name)
        if sent is not None and "\x00" in sent:
            self.refuse(name, "invalid", _("A text holds no NUL character."))
            return None
        return sent

    def choice(self, name: str, choices: Sequence[str], *, default: str | None) -> str | None:
        """One of `choices`."""
        sent = self._sent.get(name)
        if sent is None:
            return default
        if sent not in choices:
            listed = ", ".join(choices)
            self.refuse(name, "unknown_value", _("Write one of: %(known)s.") % {"known": listed})
            return default
        return sent

    def whole(self, name: str) -> int | None:
        """A whole number from 0 that a row number can be."""
        sent = self._sent.get(name)
        if sent is None:
            return None
        if not is_whole(sent):
            self.refuse(name, "wrong_type", _("Write a whole number."))
            return None
        return int(sent)

    def instant(self, name: str) -> datetime | None:
        """An ISO time, read as on the command line."""
        sent = self._sent.get(name)
        if sent is None:
            return None
        try:
            return instant(sent, path=pointer("", name))
        except TierwiseError as error:
            self._problems += error.problems
            return None

    def limit(self) -> int:
        """Rows of a page: 100 when not sent, never more than 1,000."""
        sent = self._sent.get("limit")
        if sent is None:
            return DEFAULT_LIMIT
        if not is_whole(sent) or int(sent) < 1:
            self.refuse("limit", "wrong_type", _("Write a whole number from 1 to 1000."))
            return DEFAULT_LIMIT
        return min(int(sent), LARGEST_LIMIT)

    def cursor(self, *kinds: type) -> tuple[Any, ...] | None:
        """Where the page starts, as the page before said it; `kinds` are the types of its parts."""
        sent = self._sent.get("cursor")
        if sent is None:
            return None
        found = _opened(sent)
        if found is None or [type(part) for part in found] != list(kinds):
            self.refuse("cursor", "invalid_cursor", _("Send the cursor of a page as it was."))
            return None
        return tuple(found)


def _is_storable(text: str) -> bool:
    """JSON can hold a zero byte and half a character; no stored text can."""
    return "\x00" not in text and not any("\ud800" <= sign <= "\udfff" for sign in text)


def is_whole(text: str) -> bool:
    """Whether a text is a whole number from 0 that a row number can be."""
    return text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER


def closed(*parts: int | str) -> str:
    """A cursor of these parts: opaque to whoever follows it, not secret."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def _opened(cursor: str) -> list[Any] | None:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        found = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None
    if not isinstance(found, list):
        return None
    for part in found:
        if isinstance(part, int) and not 0 <= part < 10**_LONGEST_NUMBER:
            return None
        if isinstance(part, str) and not _is_storable(part):
            return None
    return found
