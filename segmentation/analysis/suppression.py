"""Cells that are too small to be shown, and the others that would give them away.

The rule: a cell of fewer than `minimum` people is not shown. Where the cells are all of a group and
the group's size is known, what is hidden can be found by subtraction; so at least two cells are
hidden, of together at least `minimum` people (the smallest ones are added), or all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

MINIMUM = 30


def hidden_parts(counts: Sequence[int], *, minimum: int = MINIMUM) -> list[bool]:
    """Which parts of a whole to hide; the parts don't overlap and add up to what is known.

    Ties are broken by position, so that the same counts always hide the same parts.
    """
    hidden = {position for position, count in enumerate(counts) if count < minimum}
    rising = sorted(range(len(counts)), key=lambda position: (counts[position], position))
    for position in rising:
        if not hidden or _is_enough([counts[one] for one in hidden], minimum):
            break
        hidden.add(position)
    return [position in hidden for position in range(len(counts))]


def _is_enough(counts: Sequence[int], minimum: int) -> bool:
    return len(counts) >= 2 and sum(counts) >= minimum


def is_hidden_share(count: int, whole: int, *, minimum: int = MINIMUM) -> bool:
    """Whether to hide a part of a whole when other parts may overlap with it: the part or what it
    leaves is too small. Everybody, without exception, may be shown."""
    rest = whole - count
    return count < minimum or 0 < rest < minimum
