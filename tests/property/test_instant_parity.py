"""S14: the instant path says what the engine says (and so, by test_engine_oracle, the oracle).

One example is a catalog, a population and one or two as-of instants, as there. The facts lie in
PostgreSQL, where the instant path reads them, and in a mirror, where a run does; some of the
customers are marked. Everything that the plan finds about them must be the same.
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest
from django.test import override_settings
from hypothesis import given, settings

from segmentation.engine.backend import open_duckdb
from segmentation.engine.compute import Moment, RunInputs, compute, decide_over
from segmentation.engine.direct_facts import kinds_read, open_direct_facts
from segmentation.engine.stopwatch import Stopwatch

from .mirror_files import write_mirror
from .stored_facts import store_facts
from .test_engine_oracle import Case, cases, compiled, held_table, overrides_table, profile

pytestmark = pytest.mark.django_db(transaction=True)

# `make test-parity` asks for more.
EXAMPLES = int(os.environ.get("PARITY_EXAMPLES", "150"))
# About ten an example; far enough below that chance does not decide.
TRIPLES = EXAMPLES * 7


@pytest.fixture(scope="module")
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with open_duckdb() as connection:
        connection.execute("SET threads = 1")
        yield connection


def verdicts(duck: duckdb.DuckDBPyConnection, wanted: set[int]) -> list[dict[str, Any]]:
    rows = duck.sql("SELECT * FROM verdicts ORDER BY ordinal").to_arrow_table().to_pylist()
    return [row for row in rows if row["ordinal"] in wanted]


def triples(case: Case, customers: int) -> int:
    """How many (rule, history, as-of) one comparison of `customers` covers."""
    rules = len(case.catalog.layerings) + len(case.catalog.segments) + len(case.ladder)
    rules += sum(len(group.rules) for group in case.catalog.tag_groups.values())
    return rules * customers


def test_instant_path_is_engine(duck: duckdb.DuckDBPyConnection) -> None:
    compared = 0

    @settings(profile, max_examples=EXAMPLES)
    @given(case=cases())
    def every_case(case: Case) -> None:
        nonlocal compared
        plan, people = compiled(case), case.world.people
        chance = random.Random(len(people) * 31 + len(case.catalog.segments))
        marked = set(chance.sample(range(len(people)), chance.randint(1, len(people))))
        zone = ZoneInfo(case.zone)
        with (
            override_settings(TIME_ZONE=case.zone, BASE_CURRENCY=case.currency),
            tempfile.TemporaryDirectory(prefix="mirror-") as name,
        ):
            keys = store_facts(people)
            manifest = write_mirror(Path(name), people, zone=zone)
            for as_of in case.as_ofs:
                moment = Moment(
                    as_of=as_of,
                    zone=zone,
                    currency=case.currency,
                    overrides=overrides_table(case),
                    before=held_table(case),
                )
                inputs = RunInputs(
                    as_of=as_of,
                    zone=zone,
                    currency=case.currency,
                    overrides=moment.overrides,
                    before=moment.before,
                    manifest=manifest,
                    mirror=Path(name),
                    watermark=1,
                )
                cuts = compute(duck, plan, inputs, Stopwatch())
                expected = verdicts(duck, marked)
                for kind in ("customers", "orders", "order_lines", "refunds", "events",
                             "referrals", "tags"):  # fmt: skip
                    duck.execute(f'DROP VIEW "{kind}"')
                open_direct_facts(
                    duck,
                    [keys[ordinal] for ordinal in sorted(marked)],
                    kinds=kinds_read(case.catalog),
                    properties=plan.properties,
                )
                decide_over(duck, plan, moment, Stopwatch(), frozen=cuts)
                assert verdicts(duck, set(range(len(people)))) == expected, str(as_of)
                for kind in ("customers", "orders", "order_lines", "refunds", "events",
                             "referrals", "tags"):  # fmt: skip
                    duck.execute(f'DROP TABLE "{kind}"')
                compared += triples(case, len(marked))

    every_case()
    assert compared >= TRIPLES
