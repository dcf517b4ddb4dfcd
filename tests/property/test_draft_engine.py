"""S09 on generated worlds: a part of a catalog over a run's snapshot is what the run itself found.

Every example is a catalog, a population and an as-of. The whole catalog is computed from the facts
like a run does; then each definition with only what it needs is computed over the snapshot like a
preview does. Both must agree about every customer.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from hypothesis import given, settings
from pyroaring import BitMap

from segmentation.domain.dependencies import Ref, catalog_graph, topological_order
from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import RunInputs, compute
from segmentation.engine.drafts import (
    Question,
    compute_over_snapshot,
    count_sets,
    members_where,
    open_sight,
    open_snapshot,
    part_of,
)
from segmentation.engine.plan import compile_plan
from segmentation.engine.results import write_snapshot
from segmentation.engine.stopwatch import Stopwatch

from .mirror_files import write_mirror
from .strategies import TIER_RANKS
from .test_engine_oracle import Case, cases, compiled, held_table, overrides_table, profile

EXAMPLES = 60


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb() as connection:
        connection.execute("SET threads = 1")
        yield connection


def columns_of(ref: Ref, names: list[str]) -> list[str]:
    prefix = {"segment": "s", "layering": "l", "tag": "t"}[ref.kind]
    whole = f"{prefix}:{ref.key}"
    return [name for name in names if name == whole or name.startswith(f"{whole}=")]


def rows(duck: duckdb.DuckDBPyConnection, names: list[str]) -> list[dict[str, Any]]:
    listed = ", ".join(f'"{name}"' for name in ("ordinal", *names))
    table = duck.sql(f"SELECT {listed} FROM verdicts ORDER BY ordinal").to_arrow_table()
    found: list[dict[str, Any]] = table.to_pylist()
    return found


@settings(profile, max_examples=EXAMPLES)
@given(case=cases())
def test_a_part_over_the_snapshot_is_the_run(duck: duckdb.DuckDBPyConnection, case: Case) -> None:
    """S09."""
    zone, as_of, people = ZoneInfo(case.zone), case.as_ofs[0], case.world.people
    whole = compiled(case)
    graph = catalog_graph(case.catalog)
    duck.execute("DROP VIEW IF EXISTS metrics")  # of an example that failed half way
    with tempfile.TemporaryDirectory(prefix="draft-") as name:
        folder = Path(name)
        inputs = RunInputs(
            manifest=write_mirror(folder, people, zone=zone),
            mirror=folder,
            watermark=1,
            as_of=as_of,
            zone=zone,
            currency=case.currency,
            overrides=overrides_table(case),
            before=held_table(case),
        )
        cuts = compute(duck, whole, inputs, Stopwatch())
        names = list(whole.verdicts_expression.columns)
        refs = [ref for ref in graph if ref.kind != "metric"]
        expected = {ref: rows(duck, columns_of(ref, names)) for ref in refs}
        write_snapshot(duck, folder)
        duck.execute("DROP TABLE metrics")
        open_snapshot(duck, folder / "snapshot.parquet")
        for ref in refs:
            needed: dict[str, set[str]] = {}
            for one in topological_order(graph, [ref]):
                needed.setdefault(one.kind, set()).add(one.key)
            part = part_of(case.catalog, {kind: frozenset(keys) for kind, keys in needed.items()})
            touched = {
                (key, kind)
                for person in people
                for kind, keys in (("include", person.included), ("exclude", person.excluded))
                for key in keys
                if key in part.segments
            }
            plan = compile_plan(
                part,
                tier_ranks=TIER_RANKS,
                overrides=frozenset(touched),  # type: ignore[arg-type]
                has_objections=any(person.objects for person in people),
            )
            wanted = columns_of(ref, names)
            # Frozen cuts are taken from the run where it has some; the others are found again.
            for known in (cuts, {}):
                compute_over_snapshot(duck, plan, inputs, known=known, kept=wanted)
                assert rows(duck, wanted) == expected[ref], ref
            if ref.kind == "segment":
                _check_counts(duck, wanted[0], len(people))
        duck.execute("DROP VIEW IF EXISTS metrics")


def _check_counts(duck: duckdb.DuckDBPyConnection, column: str, people: int) -> None:
    """Nobody moves when nothing changes; scopes and erased customers are left out of every size."""
    same = Question(f'v."{column}"', f'o."{column}"')
    new = Question(f'v."{column}"', "false")
    members = members_where(duck, f'v."{column}"')
    for only in (None, BitMap([0, 2])):
        seen = members if only is None else members & only
        open_sight(duck, only=only, erased=BitMap([1]), objecting=BitMap([0]))
        seen = seen - BitMap([1])
        hidden = replace(same, is_hidden=True)
        first, second, third = count_sets(duck, [same, new, hidden])
        assert (first.before, first.size, first.entered, first.left) == (len(seen),) * 2 + (0, 0)
        assert (second.before, second.size, second.entered) == (0, len(seen), len(seen))
        assert third.before == len(seen - BitMap([0]))
    assert len(members) <= people
