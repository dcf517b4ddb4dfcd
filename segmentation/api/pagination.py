"""Cursor pages: each starts where the one before it ended, so nothing is counted or skipped over.

`{"next": address or null, "results": [...]}`. A row that is added while somebody follows the pages
never makes another row appear twice or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param

from .parameters import closed

PAGE_PARAMETERS = ("limit", "cursor")
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Row]):
    """The rows of one page, and whether there are more."""

    rows: Sequence[_Row]
    has_more: bool


def page_of(rows: Sequence[_Row], *, limit: int) -> Page[_Row]:
    """The page in `rows`, of which one more than `limit` was read."""
    return Page(rows[:limit], len(rows) > limit)


def next_address(
    request: Request, page: Page[_Row], *, cursor: Callable[[_Row], Sequence[int | str]]
) -> str | None:
    """Where the next page is: the same request from behind the last row."""
    if not page.has_more:
        return None
    address = request.build_absolute_uri()
    return replace_query_param(address, "cursor", closed(*cursor(page.rows[-1])))


class Paged(serializers.Serializer[Any]):
    """What every page has besides `results`."""

    next = serializers.URLField(allow_null=True, help_text="the next page; null on the last one")
