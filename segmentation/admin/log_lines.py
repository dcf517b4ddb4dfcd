"""Log lines and errors of runs and jobs, as much as a person may read of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from segmentation.permissions import mentions_hidden

RESTRICTED = _("Details are restricted.")


def told(text: str, *, words: frozenset[str]) -> str:
    """The text, unless it names something hidden (`words`, of permissions.hidden_words)."""
    return str(RESTRICTED) if mentions_hidden(text, words=words) else text


def log_rows(
    log: Iterable[Mapping[str, Any]], *, words: frozenset[str]
) -> tuple[tuple[str, str], ...]:
    """Local time to the second and message of each line."""
    return tuple(
        (local_second(str(line.get("at", ""))), told(str(line.get("message", "")), words=words))
        for line in log
    )


def local_second(text: str) -> str:
    """A stored ISO time in the project's zone; anything else as it is."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S}"
