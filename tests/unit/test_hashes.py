"""Hashes of customers: each its own, whoever is hashed beside it."""

from __future__ import annotations

import pyarrow as pa

from segmentation.domain.definitions import Aggregate, Catalog, FactMetric, Label, Window
from segmentation.engine.hashes import customer_hashes
from segmentation.engine.plan import compile_plan

SPENT = FactMetric(
    "spent", Label("x", "x"), "orders", Aggregate("sum", "amount", "money"), Window("all"), "money"
)


def test_a_hash_does_not_depend_on_the_other_customers() -> None:
    """Rows come in any chunks, and after an erasure without the one whose value was too large
    for 64-bit arithmetic: the hashes of the others stay."""
    plan = compile_plan(Catalog(metrics={"spent": SPENT}))

    def hashes(*spent: int | None) -> list[int]:
        table = pa.table(
            {
                "ordinal": pa.array(range(len(spent)), pa.int64()),
                "m:spent": pa.array(spent, pa.int64()),
            }
        )
        return [int(value) for value in customer_hashes(table, plan, "CNY")]

    large = 9 * 10**18
    together = hashes(10_000, None, large, 20_000)
    assert len(set(together)) == 4
    assert together == hashes(10_000) + hashes(None) + hashes(large) + hashes(20_000)
