"""Windows, local days and terms of docs/algorithms/rules-and-windows.md, read and computed."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
import yaml

from segmentation.domain.definitions import FactMetric
from segmentation.domain.history import CustomerHistory, Order
from segmentation.domain.windows import add_term, local_midnight, matured_end, resolve
from tests.integration.rules_page import Row, ask, read_catalog, table, wall

KINDS = table("zone", "as-of", "window", "interval")
CHANGES = table("zone", "as-of", "window", "interval", "hours")
DAYS = table("zone", "date", "first instant", "in UTC")
MATURED = table("zone", "as-of", "matured_days", "counts before")
TERMS = table("date", "term", "gives")
TICK = timedelta(microseconds=1)


def ends(row: Row) -> tuple[datetime | None, datetime]:
    """The interval as the page says it, in UTC."""
    found = re.fullmatch(r"\[(.*), (.*)\)", row["interval"])
    assert found is not None, row
    start, end = found.groups()
    first = None if start == "beginning" else wall(start, row["zone"]).astimezone(UTC)
    return first, wall(end, row["zone"]).astimezone(UTC)


def metric(row: Row, options: str) -> str:
    key = row["case"].lower()
    return f"- {{key: {key}, source: orders, aggregate: {{fn: count}}, unit: count, {options}}}\n"


def moments() -> dict[tuple[str, str], list[Row]]:
    """The cases of windows by zone and as-of: each moment is one run."""
    found: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in KINDS + CHANGES:
        found[row["zone"], row["as-of"]].append(row)
    return dict(found)


@pytest.mark.parametrize(("zone", "as_of"), moments())
def test_windows(zone: str, as_of: str) -> None:
    """The ends by the resolver; and what an order right before, at, and behind each end counts."""
    rows = moments()[zone, as_of]
    now = wall(as_of, zone)
    catalog = read_catalog(
        "metrics:\n" + "".join(metric(r, f"window: {r['window']}") for r in rows)
    )
    instants: set[datetime] = {datetime(1900, 1, 1, tzinfo=UTC)}
    for row in rows:
        start, end = ends(row)
        definition = catalog.metrics[row["case"].lower()]
        assert isinstance(definition, FactMetric)
        found = resolve(definition.window, as_of=now, zone=ZoneInfo(zone))
        assert (found.start, found.end) == (start, end), row["case"]
        if "hours" in row:
            assert start is not None
            assert (end - start) / timedelta(hours=1) == float(row["hours"])
        instants |= {at + step for at in (start, end) if at for step in (-TICK, 0 * TICK, TICK)}
    tried = sorted(instants)
    people = [
        CustomerHistory(f"c{number:03}", orders=(Order(at, Decimal(1)),))
        for number, at in enumerate(tried)
    ]
    answer = ask(catalog, people, as_of=now, zone=zone)
    for row in rows:
        start, end = ends(row)
        for who, at in enumerate(tried):
            counts = (start is None or start <= at) and at < end
            assert answer.metric(who, row["case"].lower()) == int(counts), f"{row['case']} {at}"


@pytest.mark.parametrize("row", DAYS, ids=lambda row: row["case"])
def test_first_instant_of_a_day(row: Row) -> None:
    """In a run at noon two days later, the window that begins with the day begins there."""
    zone, day = row["zone"], date.fromisoformat(row["date"])
    first = wall(row["in UTC"], "UTC")
    assert wall(row["first instant"], zone).astimezone(UTC) == first
    assert local_midnight(day, ZoneInfo(zone)) == first
    as_of = wall(f"{day + timedelta(days=2)} 12:00", zone)
    people = [
        CustomerHistory(f"c{number}", orders=(Order(at, Decimal(1)),))
        for number, at in enumerate((first - TICK, first))
    ]
    document = "metrics:\n" + metric(row, "window: {days: 2}")
    answer = ask(document, people, as_of=as_of, zone=zone)
    assert [answer.metric(who, row["case"].lower()) for who in (0, 1)] == [0, 1]


@pytest.mark.parametrize("row", MATURED, ids=lambda row: row["case"])
def test_matured_days(row: Row) -> None:
    zone, as_of = row["zone"], wall(row["as-of"], row["zone"])
    before = wall(row["counts before"], zone).astimezone(UTC)
    days = int(row["matured_days"])
    assert matured_end(days, as_of=as_of, zone=ZoneInfo(zone)) == before
    tried = [before - TICK, before, as_of.astimezone(UTC) - TICK]
    people = [
        CustomerHistory(f"c{number}", orders=(Order(at, Decimal(1)),))
        for number, at in enumerate(tried)
    ]
    document = "metrics:\n" + metric(row, f"window: {{all: true}}, matured_days: {days}")
    answer = ask(document, people, as_of=as_of, zone=zone)
    found = [answer.metric(who, row["case"].lower()) for who in range(3)]
    assert found == [int(at < before and at < as_of) for at in tried]


@pytest.mark.parametrize("row", TERMS, ids=lambda row: row["case"])
def test_terms(row: Row) -> None:
    found = add_term(date.fromisoformat(row["date"]), **yaml.safe_load(row["term"]))
    assert found == date.fromisoformat(row["gives"])
