"""What the breaker looks at: past sizes, facts per day and the promotion calendar."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import duckdb

from segmentation.domain.breaker import (
    LEAST_RUNS,
    MOST_RUNS,
    DayVolume,
    Finding,
    PromotionSizes,
    PromotionVolume,
    SegmentSizes,
    days_to_judge,
    judge,
    read_finding,
    usual_days,
)
from segmentation.domain.promotions import Phase, Promotion, phase_on, same_phase_before
from segmentation.domain.windows import local_day, local_midnight
from segmentation.engine.volumes import SOURCES, facts_per_day
from segmentation.models import PromotionEvent, Run, SegmentResult

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Past:
    """The newest published runs, oldest first, the last of each as-of; sizes by run and key."""

    runs: tuple[Run, ...]
    sizes: Mapping[int, Mapping[str, int]]


def findings_of(
    run: Run, duck: duckdb.DuckDBPyConnection, *, sizes: Mapping[str, int], zone: ZoneInfo
) -> tuple[Finding, ...]:
    """Everything for which this run must be held; () publishes it.

    `sizes` are the members the run found, by segment; `run.base_run` the run that is current. The
    run's facts are open in `duck`. The same inputs give the same findings.
    """
    past = _past()
    if run.base_run is None or len(past.runs) < LEAST_RUNS:
        return ()
    promotions = tuple(_promotion(row) for row in PromotionEvent.objects.order_by("starts_on"))
    volumes = _volumes(run, run.base_run, duck, promotions, zone)
    segments = _segments(run, sizes, past, promotions, zone)
    return judge(segments, volumes, published_runs=len(past.runs))


def _promotion(row: PromotionEvent) -> Promotion:
    return Promotion(row.key, row.kind, row.starts_on, row.ends_on, row.after_days)


def _past() -> _Past:
    newest = Run.objects.filter(status=Run.Status.PUBLISHED).order_by("-as_of", "-pk")
    newest = newest.distinct("as_of").only("pk", "as_of", "decision", "held_reasons")
    runs = tuple(reversed(newest[:MOST_RUNS]))
    return _Past(runs, _sizes(run.pk for run in runs))


def _sizes(runs: Iterable[int]) -> dict[int, dict[str, int]]:
    found: dict[int, dict[str, int]] = {run: {} for run in runs}
    rows = SegmentResult.objects.filter(run_id__in=list(found)).order_by()
    for run, key, size in rows.values_list("run_id", "segment__key", "size"):
        found[run][key] = size
    return found


def _segments(
    run: Run,
    sizes: Mapping[str, int],
    past: _Past,
    promotions: Sequence[Promotion],
    zone: ZoneInfo,
) -> list[SegmentSizes]:
    # The newest whole day decides which phase a run is in: that is the day it learned about.
    phase = phase_on(local_day(run.as_of, zone) - _DAY, promotions)
    around = {} if phase is None else _around(phase, promotions, sizes, zone)
    found = []
    for key, size in sizes.items():
        known = [each for each in past.runs if key in past.sizes[each.pk]]
        released = [at for at, each in enumerate(known) if _was_released(each, key)]
        found.append(
            SegmentSizes(
                key=key,
                size=size,
                before=tuple(past.sizes[each.pk][key] for each in known),
                level=len(known) - (released[-1] if released else 0),
                promotion=around.get(key),
            )
        )
    return found


def _was_released(run: Run, key: str) -> bool:
    return run.decision == Run.Decision.RELEASED and any(
        reason["kind"] == "segment" and reason["key"] == key for reason in run.held_reasons
    )


def _around(
    phase: Phase, promotions: Sequence[Promotion], keys: Iterable[str], zone: ZoneInfo
) -> dict[str, PromotionSizes]:
    """Each segment before the promotion, and before and in the same phase of the one before."""
    start = _last_run(phase.promotion.starts_on, zone)
    compared, start_then, then = "", None, None
    earlier = same_phase_before(phase, promotions)
    if earlier is not None:
        compared = earlier[0].key
        start_then = _last_run(earlier[0].starts_on, zone)
        then = _last_run(earlier[1] + _DAY, zone, since=earlier[0].starts_on)
    sizes = _sizes(pk for pk in (start, start_then, then) if pk is not None)

    def size(pk: int | None, key: str) -> int | None:
        return None if pk is None else sizes[pk].get(key)

    return {
        key: PromotionSizes(
            phase.promotion.key, size(start, key), compared, size(start_then, key), size(then, key)
        )
        for key in keys
    }


def _last_run(day: date, zone: ZoneInfo, *, since: date | None = None) -> int | None:
    """The newest published run whose newest whole day lies before `day`, and not before `since`."""
    runs = Run.objects.filter(status=Run.Status.PUBLISHED, as_of__lt=_ends(day, zone))
    if since is not None:
        runs = runs.filter(as_of__gte=_ends(since, zone))
    return runs.order_by("-as_of", "-pk").values_list("pk", flat=True).first()


def _ends(day: date, zone: ZoneInfo) -> datetime:
    return local_midnight(day + _DAY, zone)


def _volumes(
    run: Run,
    base: Run,
    duck: duckdb.DuckDBPyConnection,
    promotions: Sequence[Promotion],
    zone: ZoneInfo,
) -> list[DayVolume]:
    flagged = _days_in_question(run, base)
    days = days_to_judge(
        local_day(base.as_of, zone), local_day(run.as_of, zone), again=sorted(flagged)
    )
    first = min(flagged, default=None)  # what came after it may be cut as well
    looks = [_look(day, promotions, first) for day in days]
    wanted = {day for look in looks for day in (look.day, *look.usual, *look.then)}
    counts = facts_per_day(duck, wanted, zone=zone)
    return [look.volume(source, counts[source]) for source in SOURCES for look in looks]


def _days_in_question(run: Run, base: Run) -> set[date]:
    """Days for which runs from the same base were held and not released: still to be looked at."""
    # What a dry run found held nothing.
    held = Run.objects.filter(base_run=base, is_dry_run=False).exclude(held_reasons=[])
    held = held.exclude(pk=run.pk)
    found = [
        read_finding(reason) for reasons in held.values_list("held_reasons", flat=True)
        for reason in reasons
    ]  # fmt: skip
    return {finding.day for finding in found if finding.day is not None}


@dataclass(frozen=True, slots=True)
class _Look:
    """A day to judge and the days it is measured by. `then`: the same day of the earlier promotion
    and its usual days."""

    day: date
    usual: tuple[date, ...]
    phase: Phase | None
    compared: str
    then: tuple[date, ...]

    def volume(self, source: str, counts: Mapping[date, int]) -> DayVolume:
        during = None
        if self.phase is not None:
            numbers = [counts[day] for day in self.then]
            during = PromotionVolume(
                self.phase.promotion.key,
                self.compared,
                numbers[0] if numbers else 0,
                tuple(numbers[1:]),
            )
        usual = tuple(counts[day] for day in self.usual)
        return DayVolume(source, self.day, counts[self.day], usual, during)


def _look(day: date, promotions: Sequence[Promotion], first: date | None) -> _Look:
    phase = phase_on(day, promotions)
    if phase is None:
        return _Look(day, usual_days(day, promotions, before=first), None, "", ())
    starts = phase.promotion.starts_on
    before = starts if first is None else min(first, starts)
    usual = usual_days(day, promotions, before=before)
    earlier = same_phase_before(phase, promotions)
    if earlier is None:
        return _Look(day, usual, phase, "", ())
    promotion, then = earlier
    days = (then, *usual_days(then, promotions, before=promotion.starts_on))
    return _Look(day, usual, phase, promotion.key, days)
