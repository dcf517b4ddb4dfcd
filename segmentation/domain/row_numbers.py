"""Numbers of rows, as addresses and filters name them."""

from __future__ import annotations

_LONGEST = 19  # digits; fewer fit PostgreSQL's bigint


def row_number(text: str) -> int | None:
    """The number of a row that somebody names; None for what can be none."""
    return int(text) if text.isdecimal() and len(text) < _LONGEST else None
