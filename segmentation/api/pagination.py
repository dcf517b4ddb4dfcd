"""Cursor pages of lists."""

from __future__ import annotations

from rest_framework.pagination import CursorPagination


class CursorPages(CursorPagination):
    """`limit` rows a page (100, at most 1,000), newest first; `next` and `previous` are links.

    A view whose rows are ordered by something else subclasses and sets `ordering`, which must end
    in a unique column.
    """

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "limit"
    ordering = ("-id",)
