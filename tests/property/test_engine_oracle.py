"""S14: the engine says what the oracle says, on generated definitions and histories.

One example is a catalog, a population and one or two as-of instants; the catalog is compiled
once. Everything is compared for every customer: metrics as exact fractions, percentile cuts, tags,
layers, segments, the rank of a program's ladder. So S02 and S04 (parents after children, whatever
the order of definition), S12 (window ends and local days around DST days, midnights and month ends
in six zones) and S13 (missing values and `not`) are compared too.

In 1,000 examples that is well above 10,000 (rule, history, as-of) triples: see `Count`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any as Anything
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentation.domain.definitions import Catalog, Label, Segment
from segmentation.domain.evaluate import Oracle, Setting, percentile_cuts
from segmentation.domain.rules import All, Any, Node, Not
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import OVERRIDES, RunInputs, compute
from segmentation.engine.plan import CompiledPlan, RankRules, compile_plan
from segmentation.engine.plan.rules import layer_column, rank_column, segment_column
from segmentation.engine.snapshots import exact_metric, tag_values
from segmentation.engine.stopwatch import Stopwatch

from .mirror_files import write_mirror
from .strategies import LABEL, TIER_RANKS, catalogs, ladders, nodes
from .strategies_world import CURRENCIES, ZONES, World, as_ofs, worlds

Draw = Callable[[st.SearchStrategy[Anything]], Anything]

EXAMPLES = 1_000
LOGIC_EXAMPLES = 100
profile = settings(
    deadline=None,
    database=None,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=list(HealthCheck),
)


def shown(value: object) -> str:
    """A short repr: fields that have their default are left out."""
    if isinstance(value, Label):
        return "LABEL"
    if is_dataclass(value) and not isinstance(value, type):
        told = [
            f"{field.name}={shown(getattr(value, field.name))}"
            for field in fields(value)
            if getattr(value, field.name) != field.default
            and not (field.default_factory is dict and not getattr(value, field.name))
        ]
        return f"{type(value).__name__}({', '.join(told)})"
    if isinstance(value, tuple | list):
        return f"({''.join(shown(child) + ', ' for child in value)})"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {shown(child)}" for key, child in value.items()) + "}"
    if isinstance(value, datetime):
        return str(value)
    return repr(value)


@dataclass(frozen=True, repr=False)
class Case:
    """One example. Its repr names only what differs from the defaults, a line for each part."""

    catalog: Catalog
    ladder: tuple[tuple[int, Node], ...]
    zone: str
    currency: str
    as_ofs: tuple[datetime, ...]
    world: World

    def __repr__(self) -> str:
        lines = [f"zone={self.zone} currency={self.currency}"]
        lines += [f"as-of {as_of}" for as_of in self.as_ofs]
        for part in (
            self.catalog.tag_groups, self.catalog.metrics, self.catalog.layerings,
            self.catalog.segments,
        ):  # fmt: skip
            lines += [shown(definition) for definition in part.values()]
        lines += [f"tier {rank}: {shown(rule)}" for rank, rule in self.ladder]
        lines += [
            f"{shown(person)} holds {shown(tier)}"
            for person, tier in zip(self.world.people, self.world.held, strict=True)
        ]
        return "Case(\n  " + "\n  ".join(lines) + "\n)"


@st.composite
def cases(draw: Draw) -> Case:
    zone = draw(st.sampled_from(ZONES))
    currency = draw(st.sampled_from(sorted(CURRENCIES)))
    catalog = draw(catalogs())
    instants = draw(as_ofs(ZoneInfo(zone)))
    world = draw(worlds(catalog, ZoneInfo(zone), instants, CURRENCIES[currency]))
    return Case(catalog, draw(ladders(catalog)), zone, currency, instants, world)


@dataclass
class Count:
    """How much was compared: `rules` are segments, rule tags, layers and tier rules."""

    rules: int = 0
    metrics: int = 0


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb() as connection:
        # Hundreds of tiny queries: threads only cost.
        connection.execute("SET threads = 1")
        yield connection


def overrides_table(case: Case) -> pa.Table:
    rows: list[tuple[int, str, str | None]] = []
    for ordinal, person in enumerate(case.world.people):
        rows += [(ordinal, "include", key) for key in sorted(person.included)]
        rows += [(ordinal, "exclude", key) for key in sorted(person.excluded)]
        rows += [(ordinal, "list", key) for key in sorted(person.lists)]
        if person.objects:
            rows.append((ordinal, "objection", None))
    columns = [list(column) for column in zip(*rows, strict=True)] if rows else [[], [], []]
    return pa.table(columns, schema=OVERRIDES)


def held_table(case: Case) -> pa.Table:
    rows = [
        {"ordinal": ordinal, "program": "gold", "rank": held.rank}
        for ordinal, held in enumerate(case.world.held)
        if held is not None
    ]
    schema = pa.schema([("ordinal", pa.int64()), ("program", pa.string()), ("rank", pa.int64())])
    return pa.Table.from_pylist(rows, schema=schema)


def compiled(case: Case) -> CompiledPlan:
    people = case.world.people
    touched = {(key, "include") for person in people for key in person.included}
    touched |= {(key, "exclude") for person in people for key in person.excluded}
    return compile_plan(
        case.catalog,
        ladders=[RankRules("gold", case.ladder)],
        tier_ranks=TIER_RANKS,
        overrides=frozenset(touched),  # type: ignore[arg-type]
        has_objections=any(person.objects for person in people),
    )


@dataclass(frozen=True)
class Answer:
    """What the engine says at one as-of: a row per customer, percentile cuts as fractions."""

    as_of: datetime
    rows: list[dict[str, Anything]]
    cuts: dict[str, tuple[Fraction, ...]]


def answers(case: Case, plan: CompiledPlan, duck: duckdb.DuckDBPyConnection) -> Iterator[Answer]:
    """The engine's answer at each as-of of the case."""
    zone = ZoneInfo(case.zone)
    overrides, held = overrides_table(case), held_table(case)
    with tempfile.TemporaryDirectory(prefix="mirror-") as name:
        folder = Path(name)
        manifest = write_mirror(folder, case.world.people, zone=zone)
        for as_of in case.as_ofs:
            inputs = RunInputs(
                manifest=manifest,
                mirror=folder,
                watermark=1,
                as_of=as_of,
                zone=zone,
                currency=case.currency,
                overrides=overrides,
                before=held,
            )
            cuts = compute(duck, plan, inputs, Stopwatch())
            table = duck.sql("SELECT * FROM verdicts ORDER BY ordinal").to_arrow_table()
            exact = {key: tuple(Fraction(*pair) for pair in pairs) for key, pairs in cuts.items()}
            yield Answer(as_of, table.to_pylist(), exact)


def compare(case: Case, plan: CompiledPlan, answer: Answer, count: Count) -> None:
    """Everything about every customer, as the oracle says it."""
    catalog, world, as_of, rows = case.catalog, case.world, answer.as_of, answer.rows
    setting = Setting(catalog, as_of, ZoneInfo(case.zone), case.currency, answer.cuts, TIER_RANKS)
    oracles = [
        Oracle(person, setting=setting, tiers_before={} if held is None else {"gold": held})
        for person, held in zip(world.people, world.held, strict=True)
    ]
    assert [row["external_id"] for row in rows] == [person.external_id for person in world.people]
    for row, oracle in zip(rows, oracles, strict=True):
        who = f"{row['external_id']} at {as_of}"
        for key in catalog.metrics:
            found = exact_metric(row, plan.shapes[key], key)
            assert found == oracle.metric(key), f"metric {key} of {who}"
        for key in catalog.layerings:
            assert row[layer_column(key)] == oracle.layer(key), f"layer {key} of {who}"
        for key in catalog.tag_groups:
            assert tuple(tag_values(row, catalog, key)) == oracle.tags(key), f"tags {key} of {who}"
        for key in catalog.segments:
            assert row[segment_column(key)] is oracle.in_segment(key), f"segment {key} of {who}"
        best = max((rank for rank, rule in case.ladder if oracle.holds(rule)), default=None)
        assert row[rank_column("gold")] == best, f"rank of {who}"
    for layering in catalog.layerings.values():
        if layering.percentiles:
            values = [oracle.metric(layering.metric) for oracle in oracles]
            present = [value for value in values if value is not None]
            if present:  # without any value nobody is placed, whatever the cuts
                assert answer.cuts[layering.key] == percentile_cuts(present, layering.percentiles)
    rules = len(catalog.layerings) + len(catalog.segments) + len(case.ladder)
    rules += sum(len(group.rules) for group in catalog.tag_groups.values())
    count.rules += rules * len(rows)
    count.metrics += len(catalog.metrics) * len(rows)


def test_engine_is_oracle(duck: duckdb.DuckDBPyConnection) -> None:
    """S14, S12, S13, S02, S04."""
    count = Count()

    @settings(profile, max_examples=EXAMPLES)
    @given(case=cases())
    def every_case(case: Case) -> None:
        plan = compiled(case)
        for answer in answers(case, plan, duck):
            compare(case, plan, answer, count)

    every_case()
    # (rule, history, as-of) triples: about 17,500, and 14,000 metrics, in 200 s of one core.
    assert count.rules >= 10_000
    assert count.metrics >= 10_000, count


def pushed_down(node: Node, *, negated: bool = False) -> Node:
    """The same rule with every `not` right above a leaf."""
    match node:
        case Not(child):
            return pushed_down(child, negated=not negated)
        case All(children) | Any(children):
            below = tuple(pushed_down(child, negated=negated) for child in children)
            return All(below) if isinstance(node, All) is not negated else Any(below)
        case _:
            return Not(node) if negated else node


@st.composite
def logic_cases(draw: Draw) -> Case:
    """A catalog whose segments are three trees, and for each its complement, the complement of
    that, and both with `not` pushed down to the leaves."""
    zone = draw(st.sampled_from(ZONES))
    catalog = draw(catalogs(most_segments=0))
    rule = nodes(
        sorted(catalog.metrics), dict(catalog.tag_groups), dict(catalog.layerings), most=10
    )
    segments: dict[str, Segment] = {}
    for position in range(3):
        tree = draw(rule)
        forms = {
            "rule": tree, "not": Not(tree), "not_not": Not(Not(tree)),
            "pushed": pushed_down(tree), "not_pushed": pushed_down(Not(tree)),
        }  # fmt: skip
        for form, node in forms.items():
            key = f"{form}{position}"
            segments[key] = Segment(key, LABEL, "service", "internal", node)
    instants = draw(as_ofs(ZoneInfo(zone)))[:1]
    world = draw(worlds(catalog, ZoneInfo(zone), instants, 2))
    whole = Catalog(
        tag_groups=catalog.tag_groups, metrics=catalog.metrics, layerings=catalog.layerings,
        segments=segments,
    )  # fmt: skip
    return Case(whole, (), zone, "CNY", instants, world)


@settings(profile, max_examples=LOGIC_EXAMPLES)
@given(case=logic_cases())
def test_de_morgan_in_the_engine(duck: duckdb.DuckDBPyConnection, case: Case) -> None:
    """S13: `not` is the exact complement within all customers, whatever is missing, and a rule
    means the same with every `not` pushed down to the leaves."""
    (answer,) = answers(case, compiled(case), duck)
    everybody = {row["ordinal"] for row in answer.rows}
    members = {
        key: {row["ordinal"] for row in answer.rows if row[segment_column(key)]}
        for key in case.catalog.segments
    }
    assert everybody == set(range(len(case.world.people)))
    for position in range(3):
        rule = members[f"rule{position}"]
        assert members[f"not{position}"] == everybody - rule
        assert members[f"not_not{position}"] == rule
        assert members[f"pushed{position}"] == rule
        assert members[f"not_pushed{position}"] == everybody - rule
