"""Which place in a program one person keeps who had two."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

_NEVER = datetime.max.replace(tzinfo=UTC)

Side = Literal["survivor", "merged"]


@dataclass(frozen=True, slots=True)
class Place:
    """A membership. `until` None: held for good. `grace_until`: set in grace."""

    tier: str
    rank: int
    since: datetime
    until: datetime | None
    grace_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class KeptPlace:
    """The place that stays, whose it was, and stable codes that say why."""

    place: Place
    of: Side
    reasons: tuple[str, ...]


def kept_place(survivor: Place | None, merged: Place | None) -> KeptPlace | None:
    """The higher rank; of equal ranks the one not in grace, then the one that lasts longer, then
    the survivor's. Nothing is added up: the place is one that was earned as it is, with its own
    dates, and the next run judges it by the facts of both."""
    if survivor is None and merged is None:
        return None
    if merged is None:
        assert survivor is not None
        return KeptPlace(survivor, "survivor", ("merged", "only_survivor"))
    if survivor is None:
        return KeptPlace(merged, "merged", ("merged", "only_merged"))
    for code, ours, theirs in (
        ("higher_rank", survivor.rank, merged.rank),
        ("not_in_grace", survivor.grace_until is None, merged.grace_until is None),
        ("lasts_longer", survivor.until or _NEVER, merged.until or _NEVER),
    ):
        if ours != theirs:
            return (
                KeptPlace(survivor, "survivor", ("merged", code))
                if ours > theirs  # type: ignore[operator]
                else KeptPlace(merged, "merged", ("merged", code))
            )
    return KeptPlace(survivor, "survivor", ("merged", "same"))
