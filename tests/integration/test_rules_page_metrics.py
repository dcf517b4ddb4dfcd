"""Metrics and formulas of docs/algorithms/rules-and-windows.md, read and computed."""

from __future__ import annotations

from segmentation.domain.history import CustomerHistory
from tests.integration.rules_page import (
    SHANGHAI,
    ask,
    numbers,
    read_facts,
    table,
    value_of,
    wall,
)

AS_OF = wall("2018-01-01 12:00", SHANGHAI)
TWO = """orders: [
  {placed_at: 2017-12-01, amount: 40, channel: app,
    refunds: [{refunded_at: 2017-12-02, amount: 40}]},
  {placed_at: 2017-12-10 23:59:59, amount: 60, channel: app, is_promotion: true}]"""


def metric(case: str, written: str) -> str:
    """A case's metric with the defaults of the page."""
    window = "" if "window:" in written else ", window: {all: true}"
    return f"- {{key: {case.lower()}, unit: count, {written}{window}}}\n"


def test_aggregates() -> None:
    rows = table("aggregate", "of nothing", "of two")
    assert len(rows) == 10
    document = "metrics:\n" + "".join(
        metric(row["case"], f"source: orders, aggregate: {row['aggregate']}") for row in rows
    )
    people = [CustomerHistory("nobody"), *read_facts(TWO, key="two")]
    answer = ask(document, people, as_of=AS_OF)
    for row in rows:
        found = [answer.metric(who, row["case"].lower()) for who in (0, 1)]
        assert found == [value_of(row["of nothing"]), value_of(row["of two"])], row["case"]


def test_which_facts_count() -> None:
    """Every case's customer against every case's metric: oracle and engine agree on all of them."""
    rows = table("facts", "metric", "value")
    document = "metrics:\n" + "".join(metric(row["case"], row["metric"]) for row in rows)
    people = [person for row in rows for person in read_facts(row["facts"], key=row["case"])]
    position = {person.external_id: at for at, person in enumerate(people)}
    answer = ask(document, people, as_of=AS_OF)
    for row in rows:
        found = answer.metric(position[row["case"]], row["case"].lower())
        assert found == value_of(row["value"]), row["case"]


def test_formulas() -> None:
    rows = table("a", "b", "terms", "value")
    document = "metrics:\n" + "".join(
        f"- {{key: {key}, source: events, type: number, window: {{all: true}}, unit: count,"
        f" aggregate: {{fn: avg, field: properties.{key}}}}}\n"
        for key in "ab"
    )
    people: list[CustomerHistory] = []
    for row in rows:
        case = row["case"]
        document += f"- {{key: {case.lower()}, unit: count, formula: {{sum: {row['terms']}}}}}\n"
        events = ", ".join(
            f'{{occurred_at: 2017-12-01, {key}: "{one}"}}'
            for key in "ab"
            for one in numbers(row[key])
        )
        people += read_facts(f"events: [{events}]", key=case)
    answer = ask(document, people, as_of=AS_OF)
    for who, row in enumerate(rows):
        assert answer.metric(who, row["case"].lower()) == value_of(row["value"]), row["case"]
