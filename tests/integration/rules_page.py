"""Reading docs/algorithms/rules-and-windows.md, and asking oracle and engine what it says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from segmentation.domain.definitions import Catalog
from segmentation.domain.history import (
    CustomerHistory,
    Event,
    HeldTier,
    Order,
    OrderLine,
    Referral,
    Refund,
)
from segmentation.domain.reading import Report, build_catalog, load_text, read_entries
from segmentation.domain.rules import Node
from segmentation.engine.backend import open_duckdb
from segmentation.engine.plan import CompiledPlan
from segmentation.engine.plan.rules import layer_column, rank_column, segment_column
from segmentation.engine.snapshots import exact_metric, tag_values
from tests.property.strategies_world import World
from tests.property.test_engine_oracle import Case, Count, answers, compare, compiled

PAGE = Path(__file__).resolve().parents[2] / "docs/algorithms/rules-and-windows.md"
NOTHING = "–"
SHANGHAI = "Asia/Shanghai"

Row = dict[str, str]


def table(*columns: str) -> list[Row]:
    """The cases of all tables with these columns besides the case."""
    found: list[Row] = []
    names: list[str] = []
    for line in PAGE.read_text().splitlines():
        if not line.startswith("|"):
            names = []
        if not line.startswith("| "):  # prose, or the line below a table's head
            continue
        cells = [cell.strip().strip("`") for cell in line[2:-2].split(" | ")]
        if not names:
            names = cells
        elif names == ["case", *columns]:
            found.append(dict(zip(names, cells, strict=True)))
    assert found, columns
    return found


def wall(text: str, zone: str) -> datetime:
    """An instant as the page writes it; of two equal ones the earlier."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


def numbers(cell: str) -> list[str]:
    """A cell's list; nothing for a dash."""
    return [] if cell == NOTHING else cell.split(", ")


def value_of(cell: str) -> Fraction | None:
    return None if cell == "missing" else Fraction(cell)


def read_facts(cell: str, *, key: str, zone: str = SHANGHAI) -> tuple[CustomerHistory, ...]:
    """One customer's facts as a case writes them, and the customers he or she referred."""
    facts = yaml.load(f"{{{cell}}}", Loader=yaml.BaseLoader)
    referees = [
        CustomerHistory(f"{key}-{number}", orders=_orders(referral["orders"], zone))
        for number, referral in enumerate(facts.get("referrals", ()))
    ]
    referrals = tuple(
        Referral(referee.external_id, wall(referral["occurred_at"], zone), referee.orders)
        for referee, referral in zip(referees, facts.get("referrals", ()), strict=True)
    )
    events = tuple(
        Event("e", wall(event.pop("occurred_at"), zone), event) for event in facts.get("events", ())
    )
    orders = _orders(facts.get("orders", ()), zone)
    return CustomerHistory(key, orders=orders, events=events, referrals=referrals), *referees


def _orders(items: Sequence[dict[str, Any]], zone: str) -> tuple[Order, ...]:
    return tuple(
        _typed(
            Order,
            {"amount": "1"} | item,
            zone,
            lines=tuple(
                _typed(OrderLine, {"line_no": str(number), "sku": "x"} | line, zone)
                for number, line in enumerate(item.get("lines", ()), start=1)
            ),
            refunds=tuple(_typed(Refund, refund, zone) for refund in item.get("refunds", ())),
        )
        for item in items
    )


def _typed(kind: type[Any], item: dict[str, Any], zone: str, **made: object) -> Any:
    """The texts of a case as the fact's own types."""
    types = {field.name: str(field.type) for field in fields(kind)}
    given: dict[str, object] = {}
    for name, text in item.items():
        if name in made:
            continue
        if types[name].startswith("datetime"):
            given[name] = wall(text, zone)
        elif types[name].startswith("Decimal"):
            given[name] = Decimal(text)
        elif types[name].startswith("bool"):
            given[name] = {"true": True, "false": False}[text]
        else:
            given[name] = int(text) if types[name].startswith("int") else text
    return kind(**given, **made)


def read_catalog(document: str) -> Catalog:
    """The definitions of a document, read as `apply` reads them."""
    report = Report()
    place = load_text(document, report)
    assert place is not None, report.problems
    entries = read_entries(place.fields(("tags", "metrics", "layerings", "segments")) or {})
    assert report.problems == []
    return build_catalog(entries)


@dataclass(frozen=True)
class Answer:
    """What the engine says about each customer by position; the oracle says the same."""

    catalog: Catalog
    plan: CompiledPlan
    rows: list[dict[str, Any]]
    cuts: dict[str, tuple[Fraction, ...]]

    def metric(self, who: int, key: str) -> Fraction | None:
        return exact_metric(self.rows[who], self.plan.shapes[key], key)

    def member(self, who: int, segment: str) -> bool:
        found = self.rows[who][segment_column(segment)]
        assert isinstance(found, bool)
        return found

    def layer(self, who: int, layering: str) -> str | None:
        return self.rows[who][layer_column(layering)]  # type: ignore[no-any-return]

    def tags(self, who: int, group: str) -> list[str]:
        return tag_values(self.rows[who], self.catalog, group)

    def rank(self, who: int) -> int | None:
        return self.rows[who][rank_column("gold")]  # type: ignore[no-any-return]


def ask(
    document: str | Catalog,
    people: Sequence[CustomerHistory],
    *,
    as_of: datetime,
    zone: str = SHANGHAI,
    held: Sequence[HeldTier | None] = (),
    ladder: Sequence[tuple[int, Node]] = (),
) -> Answer:
    """Both programs' answer at the as-of. Fails when they differ in anything."""
    catalog = read_catalog(document) if isinstance(document, str) else document
    tiers = tuple(held) or (None,) * len(people)
    case = Case(catalog, tuple(ladder), zone, "CNY", (as_of,), World(tuple(people), tiers))
    plan = compiled(case)
    with open_duckdb() as duck:
        duck.execute("SET threads = 1")
        (answer,) = answers(case, plan, duck)
    compare(case, plan, answer, Count())
    return Answer(catalog, plan, answer.rows, answer.cuts)


def counted(key: str, numbers_: Sequence[str]) -> CustomerHistory:
    """A customer with an event for each number, in its property `p`."""
    at = wall("2017-12-01", SHANGHAI)
    return CustomerHistory(key, events=tuple(Event("e", at, {"p": one}) for one in numbers_))


# Metric `n`: the average of a customer's numbers, missing without any.
NUMBER = (
    "metrics:\n- {key: n, source: events, type: number, window: {all: true}, unit: count,"
    " aggregate: {fn: avg, field: properties.p}}\n"
)

# A tag group `hobby`, the metric `n`, and its layers `size`.
DEFINITIONS = (
    "tags:\n- {group: hobby, exclusive: false, values: [tea, chess, go]}\n"
    + NUMBER
    + "layerings:\n- {key: size, metric: n, cuts: [10, 20], layers: [low, middle, high]}\n"
)


def segment(key: str, rule: str, visibility: str = "internal") -> str:
    return f"- {{key: {key}, purpose: service, visibility: {visibility}, rule: {rule}}}\n"
