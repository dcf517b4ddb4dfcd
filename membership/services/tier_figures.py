"""Figures of tiers for screens: sizes, moves, what ends soon, sizes over time.

Whoever sees the customers of all stores gets the published figures of runs, which cost a few rows.
Whoever has a row scope gets figures of the own customers only, counted by index; published figures,
which count all stores, are never shown to them.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.cache import cache
from django.db.models import Count, Q, QuerySet

from membership.models import Membership, Program, Transition
from segmentation.domain.windows import local_midnight
from segmentation.models import Run, RunCount
from segmentation.permissions import Viewer, of_visible_customers, row_scope

MOST = 10_000  # rows that a page counts; more of them are "more than 10,000"
TREND_POINTS = 90
_KEPT_SECONDS = 24 * 3600
_SCOPED_KEPT_SECONDS = 600
Place = tuple[str, str]  # program key, tier key


@dataclass(frozen=True, slots=True)
class TierSize:
    """Members of one tier after a run; `before` None: nothing to compare with."""

    program: str
    tier: str
    size: int
    before: int | None


@dataclass(frozen=True, slots=True)
class Bounded:
    """A count that stopped at MOST: `is_more` says that there are more."""

    count: int
    is_more: bool


@dataclass(frozen=True, slots=True)
class Moves:
    """What the decisions at one as-of did in one program.

    `cells`: customers by (tier before, tier after), "" for none, those who stayed left out.
    `kinds`: decisions by kind; `reasons`: decisions by reason code.
    """

    cells: Mapping[tuple[str, str], int]
    kinds: Mapping[str, int]
    reasons: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """Members of each tier after one published run."""

    run: int
    as_of: datetime
    sizes: Mapping[str, int]


def earlier_published_run(run: Run) -> Run | None:
    """The published run with the newest as-of before this one's: what a change is measured from."""
    earlier = Run.objects.filter(status=Run.Status.PUBLISHED, as_of__lt=run.as_of)
    return earlier.defer("log", "cuts").order_by("-as_of", "-pk").first()


def tier_sizes(user: Viewer, *, run: Run, program: str | None = None) -> tuple[TierSize, ...]:
    """Members of each tier after `run`, the newest published one, and after the one before it.

    Sorted by program and tier key. With a row scope: of the own customers, as memberships are now.
    """
    before = earlier_published_run(run)
    if row_scope(user) is None:
        sizes = _published_sizes(run, program)
        former = _published_sizes(before, program) if before else None
    else:
        sizes, former = _own_sizes(user, run, program)
        former = former if before else None
    return tuple(
        TierSize(*place, size, None if former is None else former.get(place, 0))
        for place, size in sorted(sizes.items())
    )


def _published_sizes(run: Run, program: str | None) -> dict[Place, int]:
    rows = RunCount.objects.filter(run=run, kind=RunCount.Kind.TIER)
    if program is not None:
        rows = rows.filter(key=program)
    return {(key, value): size for key, value, size in rows.values_list("key", "value", "size")}


def _own_sizes(
    user: Viewer, run: Run, program: str | None
) -> tuple[dict[Place, int], dict[Place, int]]:
    """Every tier that the run published, 0 included, with the own members in it now, and before
    the decisions of the newest as-of."""
    key = _cache_key("own-sizes", user, run.pk)
    counted = cache.get(key)
    if counted is None:
        counted = _own_counts(user, run)
        cache.set(key, counted, _SCOPED_KEPT_SECONDS)
    now, moved = counted
    places = _published_sizes(run, program)
    return (
        {place: now.get(place, 0) for place in places},
        {place: now.get(place, 0) - moved.get(place, 0) for place in places},
    )


def _own_counts(user: Viewer, run: Run) -> tuple[dict[Place, int], dict[Place, int]]:
    """Own members by place, and by how many the newest as-of changed them."""
    held = of_visible_customers(Membership.objects.all(), user=user).order_by()
    rows = held.values_list("program__key", "tier").annotate(members=Count("pk"))
    now = {(program, tier): members for program, tier, members in rows}
    moved: Counter[Place] = Counter()
    decided = of_visible_customers(_decisions(run, None), user=user).order_by()
    columns = decided.values_list("program__key", "from_tier", "to_tier")
    for program, from_tier, to_tier, count in columns.annotate(moved=Count("pk")):
        if from_tier:
            moved[program, from_tier] -= count
        if to_tier:
            moved[program, to_tier] += count
    return now, dict(moved)


def _decisions(run: Run, program: str | None) -> QuerySet[Transition]:
    """Decisions at the run's as-of, also of another run at the same as-of."""
    programs = Program.objects.all() if program is None else Program.objects.filter(key=program)
    # By program and as-of, which is an index; the ids are a handful.
    ids = list(programs.values_list("pk", flat=True))
    return Transition.objects.filter(program_id__in=ids, at=run.as_of)


def moves(user: Viewer, *, run: Run, program: Program) -> Moves:
    """What the decisions at the run's as-of did, of the customers this user may know of.

    Decisions never change, so they are counted once a run and kept.
    """
    key = _cache_key("moves", user, run.pk, program.pk)
    found = cache.get(key)
    if found is None:
        found = _counted(of_visible_customers(_decisions(run, program.key), user=user))
        cache.set(key, found, _KEPT_SECONDS)
    return Moves(*found)


def _counted(
    decisions: QuerySet[Transition],
) -> tuple[dict[tuple[str, str], int], dict[str, int], dict[str, int]]:
    columns = ("from_tier", "to_tier", "kind", "reasons")
    cells: Counter[tuple[str, str]] = Counter()
    kinds: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    counted = decisions.order_by().values_list(*columns).annotate(decided=Count("pk"))
    for before, after, kind, codes, count in counted:
        if before != after:
            cells[before, after] += count
        kinds[kind] += count
        for code in codes:
            reasons[code] += count
    return dict(cells), dict(kinds), dict(reasons)


def expiring(
    user: Viewer,
    *,
    places: Sequence[tuple[int, str]],
    spans: Sequence[tuple[date, date]],
    zone: ZoneInfo,
) -> list[dict[tuple[int, str], Bounded]]:
    """For each span, from the first to the last of two local days, both included: the members of
    each (program id, tier) whose term ends in it, up to MOST."""
    bounds = [
        (local_midnight(first, zone), local_midnight(last + timedelta(days=1), zone))
        for first, last in spans
    ]
    if row_scope(user) is not None:
        return _own_expiring(user, places, bounds)
    return [
        {
            (program, tier): _bounded(
                user,
                Membership.objects.filter(
                    program_id=program, tier=tier, until__gte=start, until__lt=end
                ),
            )
            for program, tier in places
        }
        for start, end in bounds
    ]


def _own_expiring(
    user: Viewer,
    places: Sequence[tuple[int, str]],
    bounds: Sequence[tuple[datetime, datetime]],
) -> list[dict[tuple[int, str], Bounded]]:
    """The same of the own customers, in one pass over their memberships: a range of days would
    be read for the customers of all stores."""
    counts = {
        f"in_{number}": Count("pk", filter=Q(until__gte=start, until__lt=end))
        for number, (start, end) in enumerate(bounds)
    }
    held = of_visible_customers(Membership.objects.all(), user=user).order_by()
    rows = {
        (program, tier): found
        for program, tier, *found in held.values_list("program_id", "tier").annotate(**counts)
    }
    empty = [0] * len(bounds)
    return [
        {
            place: Bounded(min(count, MOST), count > MOST)
            for place in places
            for count in (rows.get(place, empty)[number],)
        }
        for number in range(len(bounds))
    ]


def in_grace(user: Viewer, *, program: Program) -> Bounded:
    """Members whose term is over and whose tier is still kept, up to MOST."""
    return _bounded(user, Membership.objects.filter(program=program, grace_until__isnull=False))


def _bounded(user: Viewer, rows: QuerySet[Membership]) -> Bounded:
    mine = of_visible_customers(rows, user=user).order_by()
    found = mine.values("pk")[: MOST + 1].count()
    return Bounded(min(found, MOST), found > MOST)


def tier_trend(
    user: Viewer, *, program: str, points: int = TREND_POINTS
) -> tuple[TrendPoint, ...] | None:
    """Members per tier after the newest published runs, oldest first; of equal as-ofs the last.

    None for a user with a row scope: runs publish figures of all stores only.
    """
    if row_scope(user) is not None:
        return None
    runs = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-as_of", "-pk")
    newest: dict[datetime, int] = {}
    for pk, as_of in runs.values_list("pk", "as_of")[: 2 * points]:
        newest.setdefault(as_of, pk)
    chosen = sorted(newest.items())[-points:]
    sizes: dict[int, dict[str, int]] = {}
    rows = RunCount.objects.filter(
        run_id__in=[pk for _as_of, pk in chosen], kind=RunCount.Kind.TIER, key=program
    )
    for run, tier, size in rows.values_list("run_id", "value", "size"):
        sizes.setdefault(run, {})[tier] = size
    return tuple(TrendPoint(pk, as_of, sizes[pk]) for as_of, pk in chosen if pk in sizes)


def _cache_key(what: str, user: Viewer, *parts: Any) -> str:
    """One entry for all who see all stores, one for each set of stores."""
    stores = row_scope(user)
    digest = "all"
    if stores is not None:
        digest = hashlib.sha256("\0".join(sorted(stores)).encode()).hexdigest()[:32]
    return ":".join(("figures", what, digest, *(str(part) for part in parts)))
