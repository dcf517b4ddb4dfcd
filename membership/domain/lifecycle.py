"""The tier lifecycle: from what is held and what is qualified for to what is held next.

Guarantee: pure, total and idempotent: deciding again at the same as-of on the result gives `none`.
Per run a customer goes up at once as far as the rules say, or down by at most one step; `since`
never changes on renewal or grace; after a decision `until` lies after the as-of, is null (held for
good), or a grace period is running. The words are the contract's (section 3, "Tiers"); the
numbered cases are in docs/algorithms/lifecycle.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal
from zoneinfo import ZoneInfo

from segmentation.domain.windows import add_term, local_day, local_midnight

from .programs import ProgramVersion, Term

_CALENDAR_END = datetime(9999, 12, 31, tzinfo=UTC)

Kind = Literal["none", "entry", "upgrade", "renewal", "grace", "downgrade", "exit"]


@dataclass(frozen=True, slots=True)
class Held:
    """A membership before the run. `until` None: held for good. `grace_until`: set in grace."""

    rank: int
    since: datetime
    until: datetime | None
    grace_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The membership after the run; all four values are None for nobody (exit, never entered).

    `none` repeats what was held, unchanged. `reasons` are stable codes, the deciding one last.
    """

    kind: Kind
    rank: int | None
    since: datetime | None
    until: datetime | None
    grace_until: datetime | None
    reasons: tuple[str, ...]


def decide(
    version: ProgramVersion,
    *,
    held: Held | None,
    qualified_rank: int | None,
    as_of: datetime,
    zone: ZoneInfo,
) -> Decision:
    """What becomes of one customer's place in one program at one run.

    `version` is the one effective at `as_of`; `qualified_rank` the highest rank whose rule holds
    (None: none does); `zone` the program's. `held.rank` is a rank of this version
    (`rank_in_version`). Raises ValueError for a qualified rank the version does not have.
    """
    ranks = tuple(sorted(tier.rank for tier in version.tiers))
    if qualified_rank is not None and qualified_rank not in ranks:
        raise ValueError(f"version {version.number} has no rank {qualified_rank}")
    as_of = as_of.astimezone(UTC)
    if held is None:
        if qualified_rank is None:
            return Decision("none", None, None, None, None, ())
        return _anew("entry", version, qualified_rank, as_of, zone, ("qualifies",))
    rank = max((rank for rank in ranks if rank <= held.rank), default=held.rank)
    if qualified_rank is not None and qualified_rank > rank:
        return _anew("upgrade", version, qualified_rank, as_of, zone, ("qualifies_higher",))
    if held.until is None or as_of < held.until:
        return _unchanged(held)
    if qualified_rank == rank:
        return _renewed(version, held, rank, as_of, zone)
    return _lost(version, held, held.until, rank, qualified_rank, as_of, zone)


def rank_in_version(version: ProgramVersion, *, tier: str, rank: int) -> int:
    """The rank a held tier has in a version: its key's; a removed tier keeps its stored rank.

    `decide` reads a rank the version does not have as the highest existing one below it.
    """
    return next((each.rank for each in version.tiers if each.key == tier), rank)


def term_end(day: date, *, term: Term, zone: ZoneInfo) -> datetime:
    """The local midnight `term` after a local date, in UTC; at most the calendar's last day."""
    try:
        return local_midnight(
            add_term(day, years=term.years, months=term.months, days=term.days), zone
        )
    except OverflowError:
        return _CALENDAR_END


def _anew(
    kind: Kind,
    version: ProgramVersion,
    rank: int,
    as_of: datetime,
    zone: ZoneInfo,
    reasons: tuple[str, ...],
) -> Decision:
    return Decision(kind, rank, as_of, _first_until(version, as_of, zone), None, reasons)


def _first_until(version: ProgramVersion, as_of: datetime, zone: ZoneInfo) -> datetime | None:
    if version.keep_for is None:
        return None
    return term_end(local_day(as_of, zone), term=version.keep_for, zone=zone)


def _unchanged(held: Held) -> Decision:
    return Decision("none", held.rank, held.since, held.until, held.grace_until, ())


def _renewed(
    version: ProgramVersion, held: Held, rank: int, as_of: datetime, zone: ZoneInfo
) -> Decision:
    if held.grace_until is not None:
        # Once grace was given the old term is gone: the new one counts from this run. That holds
        # for the first run after the grace period too: a step down would be undone by an upgrade
        # at the next run, even one at the same as-of.
        reason = "in_grace" if as_of < held.grace_until else "grace_ended"
        until = _first_until(version, as_of, zone)
        return Decision("renewal", rank, held.since, until, None, (reason, "qualifies"))
    until = held.until
    while version.keep_for is not None and until is not None and until <= as_of:
        # Each term starts where the one before ended, so a clamped day stays clamped.
        following = term_end(local_day(until, zone), term=version.keep_for, zone=zone)
        if following <= until:
            raise ValueError(f"version {version.number} keeps a tier for no time")
        until = following
    if version.keep_for is None:
        until = None
    return Decision("renewal", rank, held.since, until, None, ("term_ended", "qualifies"))


def _lost(
    version: ProgramVersion,
    held: Held,
    until: datetime,
    rank: int,
    qualified_rank: int | None,
    as_of: datetime,
    zone: ZoneInfo,
) -> Decision:
    """The term has ended and the customer does not qualify for the held tier."""
    verdict = "qualifies_for_none" if qualified_rank is None else "qualifies_lower"
    # A grace period once given is a promise: a later version does not move its end.
    grace_until = held.grace_until or term_end(
        local_day(until, zone), term=version.grace, zone=zone
    )
    if as_of < grace_until:
        if held.grace_until is not None:
            return _unchanged(held)
        reasons = ("term_ended", verdict)
        return Decision("grace", rank, held.since, until, grace_until, reasons)
    reasons = ("grace_ended" if grace_until > until else "term_ended", verdict)
    if version.downgrade == "by_value":
        lower = qualified_rank
    else:
        lower = max((tier.rank for tier in version.tiers if tier.rank < rank), default=None)
    if lower is None:
        return Decision("exit", None, None, None, None, reasons)
    return _anew("downgrade", version, lower, as_of, zone, reasons)
