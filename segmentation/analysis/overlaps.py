"""How many members sets of customers share, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence

from pyroaring import BitMap


def shared_counts(sets: Sequence[BitMap]) -> list[list[int]]:
    """The size of the intersection of each set with each, by position: symmetric, with the sets'
    own sizes on the diagonal. Counted on the bitmaps, nothing is unpacked: the 4,950 pairs of 100
    sets among a million customers take a fraction of a second."""
    found = [[0] * len(sets) for _set in sets]
    for row, one in enumerate(sets):
        found[row][row] = len(one)
        for column in range(row):
            shared = one.intersection_cardinality(sets[column])
            found[row][column] = found[column][row] = shared
    return found
