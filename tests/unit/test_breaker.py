"""The breaker's decisions, case by case of docs/algorithms/breaker.md."""

from __future__ import annotations

import json
from datetime import date, timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.domain.breaker import (
    DayVolume,
    Finding,
    PromotionSizes,
    PromotionVolume,
    SegmentSizes,
    days_to_judge,
    judge,
    judge_segment,
    judge_volume,
    median,
    read_finding,
    usual_days,
)
from segmentation.domain.promotions import Phase, Promotion, phase_on, same_phase_before

DAY = timedelta(days=1)


def segment(
    size: int, *before: int, level: int | None = None, promotion: PromotionSizes | None = None
) -> Finding | None:
    sizes = SegmentSizes("s", size, before, len(before) if level is None else level, promotion)
    return judge_segment(sizes)


def checked(found: Finding | None) -> tuple[str, int, int | None] | None:
    return None if found is None else (found.check, found.low, found.high)


# Sizes so uneven that the spread never decides.
WIDE = (200, 2_000, 200, 2_000, 200, 2_000, 1_000)


@pytest.mark.parametrize(
    ("size", "held"),
    [(1_300, False), (1_301, True), (700, False), (699, True), (0, True), (1_000, False)],
)
def test_b02_more_than_thirty_percent(size: int, held: bool) -> None:
    assert checked(segment(size, *WIDE)) == (("change", 700, 1_300) if held else None)


def test_b01_b03_too_little_history_or_too_small() -> None:
    assert segment(5_000, *WIDE[1:]) is None  # six runs
    assert segment(0, *[200] * 7) is None
    assert segment(0, *[201] * 7) is not None
    assert segment(10**9) is None  # new
    jumped = SegmentSizes("s", 0, WIDE, 7)
    assert judge([jumped], [], published_runs=6) == ()
    assert len(judge([jumped], [], published_runs=7)) == 1


@pytest.mark.parametrize(
    ("before", "low", "high"),
    [
        ([1_000] * 28, 906, 1_094),  # B04: chance alone, the square root of 1,000, three times
        ([950, 1_050] * 14, 848, 1_152),  # B05: its own spread
        ([1_000_000] * 28, 970_000, 1_030_000),  # B06: one percent
    ],
)
def test_b04_b05_b06_three_standard_deviations(before: list[int], low: int, high: int) -> None:
    for size in (low, high):
        assert segment(size, *before) is None
    for size in (low - 1, high + 1):
        assert checked(segment(size, *before)) == ("spread", low, high)


def test_b07_a_released_jump_is_the_new_usual() -> None:
    before = (*[1_000] * 27, 2_000)
    assert checked(segment(2_000, *before)) is not None  # the control: nobody released it
    assert segment(2_000, *before, level=1) is None
    assert checked(segment(2_601, *before, level=1)) == ("change", 1_400, 2_600)


@pytest.mark.parametrize(("count", "held"), [(20, 0), (19, 1), (100, 0), (101, 1), (0, 1)])
def test_b09_half_to_two_and_a_half_times_the_usual(count: int, held: int) -> None:
    found = judge_volume(DayVolume("orders", date(2026, 3, 17), count, (40,) * 8))
    assert checked(found) == (("volume", 20, 100) if held else None)


def test_b08_few_facts_or_weeks_say_nothing() -> None:
    day = date(2026, 3, 17)
    assert judge_volume(DayVolume("refunds", day, 0, (29,) * 8)) is None
    assert judge_volume(DayVolume("refunds", day, 0, (30,) * 8)) is not None
    assert judge_volume(DayVolume("refunds", day, 0, (500,) * 7)) is None
    # Facts that began less than four weeks ago: most usual days have none.
    assert judge_volume(DayVolume("events", day, 900, (100, 100, 100, 0, 0, 0, 0, 0))) is None


def test_b10_b11_which_days_are_looked_at() -> None:
    base = date(2026, 3, 1)
    assert days_to_judge(base, base) == ()
    assert days_to_judge(base, base + DAY) == (base,)
    assert days_to_judge(base, base + 7 * DAY) == tuple(base + DAY * step for step in range(7))
    assert days_to_judge(base, base + 8 * DAY) == (base + 7 * DAY,)
    assert days_to_judge(base, base + 31 * DAY, again=[base]) == (base, base + 30 * DAY)
    assert days_to_judge(base, base, again=[base]) == ()  # not a whole day before the as-of


LAST = Promotion("d11_2025", "double11", date(2025, 11, 1), date(2025, 11, 11), 7)
NOW = Promotion("d11_2026", "double11", date(2026, 11, 1), date(2026, 11, 14), 7)
OTHER = Promotion("spring", "spring", date(2026, 3, 1), date(2026, 3, 7))


def test_phases_of_a_promotion() -> None:
    promotions = (LAST, NOW, OTHER)
    assert phase_on(date(2026, 10, 31), promotions) is None
    assert phase_on(date(2026, 11, 1), promotions) == Phase(NOW, False, 0)
    assert phase_on(date(2026, 11, 14), promotions) == Phase(NOW, False, 13)
    assert phase_on(date(2026, 11, 15), promotions) == Phase(NOW, True, 0)
    assert phase_on(date(2026, 11, 21), promotions) == Phase(NOW, True, 6)
    assert phase_on(date(2026, 11, 22), promotions) is None
    overlapping = Promotion("clearance", "clearance", date(2026, 11, 18), date(2026, 11, 19))
    found = phase_on(date(2026, 11, 18), (*promotions, overlapping))
    assert found == Phase(overlapping, False, 0)  # a promotion goes before an after-effect


def test_the_same_phase_of_the_last_one() -> None:
    promotions = (LAST, NOW, OTHER)
    assert same_phase_before(Phase(NOW, False, 2), promotions) == (LAST, date(2025, 11, 3))
    assert same_phase_before(Phase(NOW, False, 13), promotions) == (LAST, LAST.ends_on)
    assert same_phase_before(Phase(NOW, True, 6), promotions) == (LAST, date(2025, 11, 18))
    assert same_phase_before(Phase(LAST, False, 0), promotions) is None
    assert same_phase_before(Phase(OTHER, False, 0), promotions) is None
    short = Promotion("d11_2025", "double11", LAST.starts_on, LAST.ends_on)
    assert same_phase_before(Phase(NOW, True, 0), (short, NOW)) is None


@pytest.mark.parametrize(
    ("size", "held"), [(2_600, False), (2_601, True), (1_400, False), (1_399, True)]
)
def test_b12_a_segment_is_measured_by_the_last_promotion(size: int, held: bool) -> None:
    """Then it doubled, from 500 to 1,000; now 1,000 are expected to become 2,000."""
    around = PromotionSizes("d11_2026", 1_000, "d11_2025", 500, 1_000)
    found = segment(size, *[1_000] * 7, promotion=around)
    assert checked(found) == (("promotion", 1_400, 2_600) if held else None)
    if found is not None:
        assert (found.before, found.promotion, found.compared) == (2_000, "d11_2026", "d11_2025")


def test_b13_a_day_is_measured_by_the_last_promotion() -> None:
    """Then the day had five times the usual 100; now 1,000 of the usual 200 are expected."""
    during = PromotionVolume("d11_2026", "d11_2025", 500, (100,) * 8)
    day = date(2026, 11, 3)
    for count, held in ((500, False), (499, True), (2_500, False), (2_501, True)):
        found = judge_volume(DayVolume("orders", day, count, (200,) * 8, during))
        assert checked(found) == (("promotion", 500, 2_500) if held else None)


def test_b14_in_the_first_of_its_kind_only_falls_hold() -> None:
    first = PromotionSizes("d11_2025", 1_000)
    assert segment(9_000, *[1_000] * 7, promotion=first) is None
    assert checked(segment(699, *[1_000] * 7, promotion=first)) == ("first_promotion", 700, None)
    # After it the fall back to what was before is no fall.
    assert segment(1_000, *[5_000] * 7, promotion=first) is None
    during = PromotionVolume("d11_2025")
    day = date(2025, 11, 3)
    assert judge_volume(DayVolume("orders", day, 10_000, (40,) * 8, during)) is None
    found = judge_volume(DayVolume("orders", day, 19, (40,) * 8, during))
    assert checked(found) == ("first_promotion", 20, None)
    # A feed that was cut in the last promotion is no measure.
    lost = PromotionVolume("d11_2026", "d11_2025", 0, (40,) * 8)
    found = judge_volume(DayVolume("orders", day, 19, (40,) * 8, lost))
    assert found is not None
    assert (found.check, found.compared) == ("first_promotion", "")


def test_b15_usual_days_are_in_no_promotion() -> None:
    day = date(2026, 11, 25)  # behind the after-effect; 11-18, -11 and -04 are part of it
    found = usual_days(day, (LAST, NOW, OTHER))
    assert found[0] == date(2026, 10, 28)
    assert len(found) == 8
    assert {each.weekday() for each in found} == {day.weekday()}
    assert usual_days(day, (), before=date(2026, 11, 11))[0] == date(2026, 11, 4)
    long = Promotion("all_year", "x", date(2026, 1, 1), date(2026, 12, 31))
    assert usual_days(day, (long,)) == ()


def test_findings_survive_json() -> None:
    found = judge_volume(DayVolume("orders", date(2026, 3, 17), 0, (40,) * 8))
    assert found is not None
    assert read_finding(json.loads(json.dumps(found.as_row()))) == found


SIZES = st.integers(0, 5_000)


@given(st.lists(SIZES, min_size=1, max_size=28), SIZES)
def test_what_is_said_to_pass_passes(before: list[int], size: int) -> None:
    """`low` and `high` are exactly the edges, whatever the history."""
    found = segment(size, *before)
    if found is None:
        return
    assert found.high is not None
    assert not found.low <= size <= found.high
    assert len(before) >= 7
    assert before[-1] > 200
    for inside in {found.low, found.high}:
        again = segment(inside, *before)
        assert again is None or again.check != found.check
    for outside in (found.low - 1, found.high + 1):
        if outside >= 0:
            assert segment(outside, *before) is not None


@given(st.lists(st.integers(0, 400), min_size=8, max_size=8), st.integers(0, 2_000))
def test_a_day_as_usual_never_holds(usual: list[int], factor: int) -> None:
    middle = median(tuple(usual))
    day = date(2026, 3, 17)
    if middle.denominator == 1:
        assert judge_volume(DayVolume("orders", day, int(middle), tuple(usual))) is None
    found = judge_volume(DayVolume("orders", day, factor, tuple(usual)))
    outside = middle >= 30 and not middle / 2 <= factor <= middle * Fraction(5, 2)
    assert (found is not None) == outside


@given(st.lists(SIZES, min_size=7, max_size=28), SIZES)
def test_the_order_of_history_decides_only_through_the_last_run(
    before: list[int], size: int
) -> None:
    earlier = sorted(before[:-1])
    one = segment(size, *earlier, before[-1])
    other = segment(size, *reversed(earlier), before[-1])
    assert checked(one) == checked(other)
