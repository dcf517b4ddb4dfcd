"""S10, S12, P07 in the engine: membership turns on the exact local day, in every zone.

What is expected comes from plain dates, not from the resolver that engine and oracle share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from segmentation.domain.definitions import (
    Aggregate,
    Catalog,
    FactMetric,
    Fn,
    Label,
    Segment,
    Window,
)
from segmentation.domain.history import CustomerHistory, Order
from segmentation.domain.rules import Cmp, MetricLeaf
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import OVERRIDES, RunInputs, compute
from segmentation.engine.plan import CompiledPlan, compile_plan
from segmentation.engine.results import segment_bitmaps
from segmentation.engine.stopwatch import Stopwatch
from tests.property.mirror_files import write_mirror

DAY = timedelta(days=1)
NOBODY = pa.schema([("ordinal", pa.int64()), ("program", pa.string()), ("rank", pa.int64())])

Expected = Callable[[datetime, date, datetime, date], bool]


@dataclass(frozen=True)
class Rule:
    """A segment over one metric; `holds(order, its date, as-of, its date)` is what it means."""

    key: str
    fn: Fn
    window: Window
    cmp: Cmp
    value: int
    holds: Expected
    matured_days: int | None = None


def catalog_of(rules: list[Rule]) -> Catalog:
    label = Label("x", "x")
    metrics, segments = {}, {}
    for rule in rules:
        metrics[rule.key] = FactMetric(
            rule.key, label, "orders", Aggregate(rule.fn), rule.window, "count",
            matured_days=rule.matured_days,
        )  # fmt: skip
        leaf = MetricLeaf(rule.key, rule.cmp, Decimal(rule.value))
        segments[rule.key] = Segment(rule.key, label, "service", "internal", leaf)
    return Catalog(metrics=metrics, segments=segments)


def members_at(
    plan: CompiledPlan,
    orders: list[datetime],
    as_ofs: list[datetime],
    zone: ZoneInfo,
    folder: Path,
) -> Iterator[dict[str, set[int]]]:
    """Each segment's members at each as-of; customer n made the n-th order."""
    people = [
        CustomerHistory(f"c{number}", orders=(Order(at, Decimal(1)),))
        for number, at in enumerate(orders)
    ]
    manifest = write_mirror(folder, people, zone=zone)
    with open_duckdb() as duck:
        for as_of in as_ofs:
            inputs = RunInputs(
                manifest=manifest,
                mirror=folder,
                watermark=1,
                as_of=as_of,
                zone=zone,
                currency="CNY",
                overrides=OVERRIDES.empty_table(),
                before=NOBODY.empty_table(),
            )
            compute(duck, plan, inputs, Stopwatch())
            bitmaps = segment_bitmaps(duck, plan.catalog)
            yield {key: set(bitmap) for key, bitmap in bitmaps.items()}


def two_hundred_rules() -> list[Rule]:
    """Eight kinds of window with lengths of 1 to 25 days."""
    everything = Window("all")
    rules = []
    for n in range(1, 26):
        days, hours = n * DAY, timedelta(hours=24 * n)
        rules += [
            Rule(f"days{n}", "count", Window("days", n), "gte", 1,
                 lambda at, on, now, today, days=days: today - days <= on < today),
            Rule(f"to_now{n}", "count", Window("days", n, to_now=True), "gte", 1,
                 lambda at, on, now, today, days=days: today - days < on and at < now),
            Rule(f"hours{n}", "count", Window("hours", 24 * n), "gte", 1,
                 lambda at, on, now, today, hours=hours: now - hours <= at < now),
            Rule(f"active{n}", "active_days", Window("days", n), "eq", 1,
                 lambda at, on, now, today, days=days: today - days <= on < today),
            Rule(f"none{n}", "count", Window("days", n), "eq", 0,
                 lambda at, on, now, today, days=days: not today - days <= on < today),
            Rule(f"recent{n}", "days_since_last", everything, "lte", n,
                 lambda at, on, now, today, days=days: at < now and today - on <= days),
            Rule(f"lapsed{n}", "days_since_first", everything, "gt", n,
                 lambda at, on, now, today, days=days: at < now and today - on > days),
            Rule(f"matured{n}", "count", everything, "gte", 1,
                 lambda at, on, now, today, days=days: on + days <= today, matured_days=n),
        ]  # fmt: skip
    return rules


def test_each_member_leaves_on_the_exact_day(tmp_path: Path) -> None:
    """S10: the facts are frozen, the clock goes on day by day over the day that has 23 hours."""
    zone = ZoneInfo("America/New_York")
    rules = two_hundred_rules()
    assert len(rules) == 200
    orders = [
        datetime.combine(date(2018, 3, day), clock, tzinfo=zone)
        for day in (10, 11, 12)  # the clock is set forward on the eleventh
        for clock in (time(0), time(23, 59, 59))
    ]
    as_ofs = [
        datetime.combine(date(2018, 3, 10) + number * DAY, clock, tzinfo=zone)
        for number, clock in enumerate([time(0), time(12), time(23, 59, 59)] * 10)
    ]
    left = dict.fromkeys((rule.key for rule in rules), 0)
    before: dict[str, set[int]] = {rule.key: set() for rule in rules}
    found = members_at(compile_plan(catalog_of(rules)), orders, as_ofs, zone, tmp_path)
    for as_of, members in zip(as_ofs, found, strict=True):
        for rule in rules:
            now = as_of.astimezone(UTC)
            wanted = {
                number
                for number, at in enumerate(orders)
                if rule.holds(at.astimezone(UTC), at.date(), now, as_of.date())
            }
            assert members[rule.key] == wanted, f"{rule.key} at {as_of}"
            left[rule.key] += len(before[rule.key] - members[rule.key])
        before = members
    everybody = set(range(len(orders)))
    for rule in rules:
        kind = rule.key.rstrip("0123456789")
        if kind in ("lapsed", "matured"):  # these are entered on the exact day
            assert left[rule.key] == 0, rule.key
            assert before[rule.key] == everybody, rule.key
        elif kind != "none":
            assert left[rule.key] > 0, rule.key
            assert before[rule.key] == set(), rule.key


# Zone, a date, and its first instant: both DST days where there are some, the hardest offsets.
FIRST_INSTANTS = [
    ("America/New_York", date(2018, 3, 11), time(0)),
    ("America/New_York", date(2018, 11, 4), time(0)),
    ("America/Sao_Paulo", date(2017, 10, 15), time(1)),  # midnight does not exist
    ("America/Sao_Paulo", date(2018, 2, 17), time(0)),  # its last hour happens twice
    ("America/Sao_Paulo", date(2018, 2, 18), time(0)),
    ("Asia/Shanghai", date(2018, 3, 11), time(0)),
    ("Asia/Kathmandu", date(2018, 3, 11), time(0)),
    ("Pacific/Kiritimati", date(2016, 2, 29), time(0)),
    ("Pacific/Pago_Pago", date(2016, 2, 29), time(0)),
    ("Pacific/Apia", date(2011, 12, 31), time(0)),  # the day before was skipped
]
CALENDAR_RULES = [
    Rule("days30", "count", Window("days", 30), "gte", 1,
         lambda at, on, now, today: today - 30 * DAY <= on < today),
    Rule("to_now30", "count", Window("days", 30, to_now=True), "gte", 1,
         lambda at, on, now, today: today - 30 * DAY < on and at < now),
    Rule("lapsed30", "days_since_last", Window("all"), "gte", 30,
         lambda at, on, now, today: today - on >= 30 * DAY),
    Rule("matured30", "count", Window("all"), "gte", 1,
         lambda at, on, now, today: on + 30 * DAY <= today, matured_days=30),
    Rule("month", "count", Window("calendar", calendar="month"), "gte", 1,
         lambda at, on, now, today: (on.year, on.month) == (today.year, today.month) and at < now),
    Rule("last_month", "count", Window("calendar", calendar="month", offset=-1), "gte", 1,
         lambda at, on, now, today: on.year * 12 + on.month + 1 == today.year * 12 + today.month),
]  # fmt: skip


@pytest.fixture(scope="module")
def calendar_plan() -> CompiledPlan:
    return compile_plan(catalog_of(CALENDAR_RULES))


@pytest.mark.parametrize(("zone_name", "day", "first"), FIRST_INSTANTS)
def test_a_thirty_day_rule_turns_at_local_midnight(
    zone_name: str, day: date, first: time, calendar_plan: CompiledPlan, tmp_path: Path
) -> None:
    """S12, P07: facts and as-ofs at 23:59:59 and 00:00:00 around the day, a month later."""
    zone = ZoneInfo(zone_name)
    begins = datetime.combine(day, first, tzinfo=zone)
    second = timedelta(seconds=1)
    orders = [
        (begins.astimezone(UTC) + step).astimezone(zone)
        for step in (-second, timedelta(0), second, 12 * timedelta(hours=1))
    ]
    # Standing right before the day's first instant really is standing in an earlier day.
    assert orders[0].date() < day == orders[1].date()
    assert orders[0].time() == time(23, 59, 59)
    last_second = datetime.combine(day, time(23, 59, 59, fold=1), tzinfo=zone)
    orders += [last_second, (last_second.astimezone(UTC) + second).astimezone(zone)]
    assert [at.date() - day for at in orders[-2:]] == [timedelta(0), DAY]
    as_ofs = [begins]
    as_ofs += [
        datetime.combine(day + number * DAY, clock, tzinfo=zone)
        for number in (29, 30, 31)
        for clock in (time(0), time(23, 59, 59))
    ]
    found = members_at(calendar_plan, orders, as_ofs, zone, tmp_path)
    turned = 0
    before: dict[str, set[int]] = {}
    for as_of, members in zip(as_ofs, found, strict=True):
        now = as_of.astimezone(UTC)
        for rule in CALENDAR_RULES:
            wanted = {
                number
                for number, at in enumerate(orders)
                if at.astimezone(UTC) < now
                and rule.holds(at.astimezone(UTC), at.date(), now, as_of.date())
            }
            assert members[rule.key] == wanted, f"{rule.key} at {as_of}"
        turned += before != members
        before = members
    assert turned > 3
