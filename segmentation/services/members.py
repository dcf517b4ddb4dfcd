"""Members of bitmaps as pages of customers, and operations on whole bitmaps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_, sub
from typing import Literal

from pyroaring import BitMap

from segmentation.domain.errors import TierwiseError
from segmentation.models import Customer
from segmentation.permissions import Viewer, visible_customers

MOST = 1000
LAST_ORDINAL = 2**32 - 1  # what a bitmap can hold
Operation = Literal["and", "or", "minus"]
_OPERATIONS = {"and": and_, "or": or_, "minus": sub}


@dataclass(frozen=True, slots=True)
class MembersPage:
    """Some members in the order of their ordinals.

    `next_after` is what the next page starts behind, None on the last one. `total` is the size of
    the whole bitmap.
    """

    customers: tuple[Customer, ...]
    next_after: int | None
    total: int


def members_page(
    members: BitMap, *, viewer: Viewer, after: int | None = None, limit: int = 50
) -> MembersPage:
    """The next members behind the ordinal `after`; one query, however large the bitmap.

    `members` should be cut by `permissions.sight` already, so that sizes agree with rows; customers
    of other stores and erased ones are left out in any case.
    """
    start = 0 if after is None else members.rank(min(after, LAST_ORDINAL))
    chunk = members[start : start + max(1, min(limit, MOST))]
    found = visible_customers(viewer).filter(ordinal__in=list(chunk)).order_by("ordinal")
    has_more = start + len(chunk) < len(members)
    return MembersPage(
        customers=tuple(found),
        next_after=int(chunk.max()) if has_more else None,
        total=len(members),
    )


def combined(operation: str, bitmaps: Sequence[BitMap]) -> BitMap:
    """`and`: in all of them, `or`: in any, `minus`: in the first and none of the others.

    Of no bitmap it is empty. Raises TierwiseError `invalid` for another operation.
    """
    function = _OPERATIONS.get(operation)
    if function is None:
        raise TierwiseError(f"{operation!r} is no operation: and, or, minus.")
    found = reduce(function, bitmaps) if bitmaps else BitMap()
    return BitMap(found)
