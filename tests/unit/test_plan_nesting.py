"""Nested definitions: a parent costs the same whatever its children are (S02), and one run brings
all of them to the fixed point, in whichever order they were defined (S04)."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

import pytest

from segmentation.domain.definitions import Catalog, Segment
from segmentation.domain.rules import All, Any, AttrLeaf, MetricLeaf, Node, Not, SegmentLeaf
from segmentation.engine.plan import bounds_at, compile_plan
from segmentation.engine.plan.rules import segment_column

from .test_plan import AS_OF, AVERAGE, BUYER, STRANGER, ZONE, compared, segment

SIMPLE: Node = MetricLeaf("average", "gt", Decimal("0.1"))


def pairs(count: int) -> Node:
    """A rule of twice as many leaves."""
    return Any(
        tuple(
            All((MetricLeaf("average", "gt", Decimal(n) / 40), AttrLeaf("city", "eq", f"city {n}")))
            for n in range(count)
        )
    )


COMPLEX = pairs(45)
PARENT: Node = Any(
    (SegmentLeaf("child"), Not(SegmentLeaf("child")), All((SegmentLeaf("child"), SIMPLE)))
)


def sql_length(**rules: Node) -> int:
    catalog = Catalog(
        metrics={"average": AVERAGE},
        segments={key: segment(key, rule) for key, rule in rules.items()},
    )
    sql = compile_plan(catalog).verdicts_sql(bounds_at(AS_OF, ZONE), {})
    return len("".join(sql.split()))  # deeper lines are indented further


def test_what_a_parent_adds_does_not_depend_on_its_child() -> None:
    """S02: it names its child's result, three times here, and never repeats how that was found."""
    few = pairs(2)
    beside_few = sql_length(child=few, parent=PARENT) - sql_length(child=few)
    beside_complex = sql_length(child=COMPLEX, parent=PARENT) - sql_length(child=COMPLEX)
    assert sql_length(child=COMPLEX) > 5 * sql_length(child=few)
    assert beside_complex == beside_few
    inlined = sql_length(child=COMPLEX, parent=Any((COMPLEX, Not(COMPLEX), All((COMPLEX, SIMPLE)))))
    assert inlined - sql_length(child=COMPLEX) > 10 * beside_complex  # what the control costs


def test_a_diamond_of_many_levels_grows_by_one_step_a_level() -> None:
    """S02: inlined, twenty levels that each name the one below twice would be a million copies."""

    def levels(count: int) -> int:
        rules: dict[str, Node] = {"level0": COMPLEX}
        for n in range(1, count + 1):
            below = SegmentLeaf(f"level{n - 1}")
            rules[f"level{n}"] = Any((All((below, SIMPLE)), Not(below)))
        return sql_length(**rules)

    ten, twenty, thirty = levels(10), levels(20), levels(30)
    assert abs((thirty - twenty) - (twenty - ten)) <= 0.1 * (twenty - ten)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_definition_changes_nothing(seed: int, tmp_path: Path) -> None:
    """S04: twelve segments that use each other, parents before children or after; the oracle, which
    starts cold for each of them, agrees with the one pass of the engine."""
    luck = random.Random(seed)
    rules: dict[str, Node] = {"s0": SIMPLE, "s1": AttrLeaf("city", "is_not_set", None)}
    for n in range(2, 12):
        first, second = luck.sample(range(n), 2)
        parts = (SegmentLeaf(f"s{first}"), Not(SegmentLeaf(f"s{second}")))
        rules[f"s{n}"] = luck.choice((All, Any))(parts)
    keys = list(rules)
    found: list[list[dict[str, object]]] = []
    for number in range(3):
        order = keys if not number else luck.sample(keys, len(keys))
        segments: dict[str, Segment] = {key: segment(key, rules[key]) for key in order}
        catalog = Catalog(metrics={"average": AVERAGE}, segments=segments)
        folder = tmp_path / str(number)
        folder.mkdir()
        rows = compared(catalog, folder, BUYER, STRANGER)
        found.append([{key: row[segment_column(key)] for key in keys} for row in rows])
    assert found[0] == found[1] == found[2]
