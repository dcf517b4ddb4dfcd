"""The breaker: whether what a run found is so unlike the runs before that a person must look first.

Guarantee: a decision depends on the arguments alone and is exact (integers and fractions, no
floats). Numbered cases and the reasons for the bounds: docs/algorithms/breaker.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from math import ceil, floor, isqrt
from typing import Any, Literal

from .promotions import Promotion, phase_on

LEAST_RUNS = 7  # published runs before anything is judged
MOST_RUNS = 28  # published runs that make up a segment's usual size
LEAST_MEMBERS = 200  # more than this in the last published run
MOST_CHANGE = Fraction(3, 10)
MOST_SIGMAS = 3
LEAST_SPREAD = Fraction(1, 100)  # of the mean
LEAST_FACTS = 30  # the median of a weekday
LEAST_VOLUME, MOST_VOLUME = Fraction(1, 2), Fraction(5, 2)  # of what is expected
WEEKS = 8
MOST_WEEKS_BACK = 16
MOST_DAYS = 7
_DAY = timedelta(days=1)

Check = Literal["change", "spread", "volume", "promotion", "first_promotion"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is out of range.

    `key` is a segment's key or a source of facts, `before` what was expected, `after` what was
    found; `low` and `high` are the least and the greatest number that would have passed (`high`
    None: any). `day`: of facts. `promotion`: the one the day is part of, `compared`: the earlier
    one it was measured by.
    """

    kind: Literal["segment", "volume"]
    check: Check
    key: str
    before: int
    after: int
    low: int
    high: int | None
    day: date | None = None
    promotion: str = ""
    compared: str = ""

    def as_row(self) -> dict[str, Any]:
        """For JSON."""
        day = None if self.day is None else self.day.isoformat()
        return {name: getattr(self, name) for name in self.__slots__} | {"day": day}


def read_finding(row: Mapping[str, Any]) -> Finding:
    """The inverse of `as_row`."""
    day = row["day"]
    return Finding(**{**row, "day": None if day is None else date.fromisoformat(day)})


@dataclass(frozen=True, slots=True)
class PromotionSizes:
    """A segment around a promotion: `start` its size in the last run before it, `start_then` and
    `then` before and in the same phase of the earlier one. None: no such run or result."""

    promotion: str
    start: int | None
    compared: str = ""
    start_then: int | None = None
    then: int | None = None


@dataclass(frozen=True, slots=True)
class SegmentSizes:
    """`before`: its sizes in the newest published runs, oldest first, one for each as-of.

    `level`: how many of them, from the end, make up what is usual now: those since a person
    released a run that was held because of this segment (that run included), else all.
    """

    key: str
    size: int
    before: tuple[int, ...]
    level: int
    promotion: PromotionSizes | None = None


@dataclass(frozen=True, slots=True)
class PromotionVolume:
    """The same day of the earlier promotion: `count` facts, and `usual` before it began."""

    promotion: str
    compared: str = ""
    count: int = 0
    usual: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class DayVolume:
    """`count` facts of a source on a local day; `usual`: on usual days of that weekday before."""

    source: str
    day: date
    count: int
    usual: tuple[int, ...]
    promotion: PromotionVolume | None = None


def judge(
    segments: Iterable[SegmentSizes], volumes: Iterable[DayVolume], *, published_runs: int
) -> tuple[Finding, ...]:
    """Everything for which a run is held; () publishes it."""
    if published_runs < LEAST_RUNS:
        return ()
    found = [judge_volume(volume) for volume in volumes]
    found += [judge_segment(segment) for segment in segments]
    return tuple(finding for finding in found if finding is not None)


def judge_segment(segment: SegmentSizes) -> Finding | None:
    """Whether a segment jumped. New ones and small ones never do."""
    if len(segment.before) < LEAST_RUNS or segment.before[-1] <= LEAST_MEMBERS:
        return None
    promotion = segment.promotion
    if promotion is None:
        return _changed(segment) or _spread(segment)
    start, then, start_then = promotion.start, promotion.then, promotion.start_then
    if start and then and start_then and min(start, start_then) > LEAST_MEMBERS:
        # The ratio to the size before the promotion, now against then.
        expected = Fraction(start * then, start_then)
        low, high = ceil(expected * (1 - MOST_CHANGE)), floor(expected * (1 + MOST_CHANGE))
        if low <= segment.size <= high:
            return None
        return Finding(
            "segment", "promotion", segment.key, _rounded(expected), segment.size, low, high,
            promotion=promotion.promotion, compared=promotion.compared,
        )  # fmt: skip
    # Nothing to measure a rise by; losing members because of a promotion is odd at any time.
    usual = segment.before[-1] if start is None else start
    low = ceil(usual * (1 - MOST_CHANGE))
    if segment.size >= low:
        return None
    return Finding(
        "segment", "first_promotion", segment.key, usual, segment.size, low, None,
        promotion=promotion.promotion,
    )  # fmt: skip


def _changed(segment: SegmentSizes) -> Finding | None:
    last = segment.before[-1]
    if abs(segment.size - last) <= MOST_CHANGE * last:
        return None
    low, high = ceil(last * (1 - MOST_CHANGE)), floor(last * (1 + MOST_CHANGE))
    return Finding("segment", "change", segment.key, last, segment.size, low, high)


def _spread(segment: SegmentSizes) -> Finding | None:
    usual = segment.before[-segment.level :] if segment.level else ()
    if len(usual) < LEAST_RUNS:
        return None
    mean = Fraction(sum(usual), len(usual))
    allowed = MOST_SIGMAS**2 * _variance(usual, mean)

    def passes(size: int) -> bool:
        return (size - mean) ** 2 <= allowed

    if passes(segment.size):
        return None
    # Where the integers next to mean ± 3 sigma lie, exactly.
    margin = isqrt(floor(allowed))
    low, high = max(floor(mean) - margin, 0), ceil(mean) + margin
    while low > 0 and passes(low - 1):
        low -= 1
    while not passes(low):
        low += 1
    while passes(high + 1):
        high += 1
    while not passes(high):
        high -= 1
    return Finding("segment", "spread", segment.key, _rounded(mean), segment.size, low, high)


def _variance(sizes: Sequence[int], mean: Fraction) -> Fraction:
    """Of the sample, but never less than chance (a count's own variance, its mean) or one percent
    of the mean give: else one person more would hold a segment that never changed."""
    squares = sum((size - mean) ** 2 for size in sizes)
    return max(Fraction(squares) / (len(sizes) - 1), mean, (mean * LEAST_SPREAD) ** 2)


def judge_volume(volume: DayVolume) -> Finding | None:
    """Whether a day has too few or too many facts of a source."""
    usual = median(volume.usual)
    if len(volume.usual) < WEEKS or usual < LEAST_FACTS:
        return None
    check, expected, during = _expected_volume(volume.promotion, usual)
    low, high = ceil(LEAST_VOLUME * expected), floor(MOST_VOLUME * expected)
    highest = None if check == "first_promotion" else high
    if volume.count >= low and (highest is None or volume.count <= highest):
        return None
    return Finding(
        "volume", check, volume.source, _rounded(expected), volume.count, low, highest,
        day=volume.day,
        promotion=during.promotion if during else "",
        compared=during.compared if during and check == "promotion" else "",
    )  # fmt: skip


def _expected_volume(
    during: PromotionVolume | None, usual: Fraction
) -> tuple[Check, Fraction, PromotionVolume | None]:
    """What is expected where the usual is `usual`: in a promotion as many times that as then."""
    if during is None:
        return "volume", usual, None
    then = median(during.usual)
    if during.count and len(during.usual) >= WEEKS and then >= LEAST_FACTS:
        return "promotion", usual * during.count / then, during
    return "first_promotion", usual, during


def days_to_judge(base_on: date, as_of_on: date, *, again: Iterable[date] = ()) -> tuple[date, ...]:
    """The whole local days whose facts are looked at: from the as-of day of the last published run
    to the day before this one, or the last of them alone when they are more than a week; and the
    days for which runs since then were held."""
    last = as_of_on - _DAY
    length = (as_of_on - base_on).days
    days = {last} if length > MOST_DAYS else {base_on + _DAY * step for step in range(length)}
    return tuple(sorted(days | {day for day in again if day <= last}))


def usual_days(
    day: date, promotions: Sequence[Promotion], *, before: date | None = None
) -> tuple[date, ...]:
    """The newest 8 days of that weekday before `day` (and `before`) in no promotion or its
    after-effect, at most 16 weeks back."""
    found = []
    for week in range(1, MOST_WEEKS_BACK + 1):
        candidate = day - _DAY * 7 * week
        if before is not None and candidate >= before:
            continue
        if phase_on(candidate, promotions) is None:
            found.append(candidate)
        if len(found) == WEEKS:
            break
    return tuple(found)


def median(counts: Sequence[int]) -> Fraction:
    """The middle one, or halfway between the two in the middle; 0 of none."""
    if not counts:
        return Fraction(0)
    ordered = sorted(counts)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return Fraction(ordered[middle])
    return Fraction(ordered[middle - 1] + ordered[middle], 2)


def _rounded(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))
