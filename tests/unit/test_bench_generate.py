"""The benchmarks' made-up facts are the same for the same seed, and add up."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np

from bench.generate import Part, Size, parts, write_csv, write_mirror
from segmentation.engine.local_days import offset_table

SIZE = Size(customers=2_000, orders=20_000)


def _only_part(seed: int) -> Part:
    (part,) = parts(SIZE, seed=seed)
    return part


def test_the_same_seed_gives_the_same_facts_and_another_seed_others() -> None:
    first, again, other = _only_part(1), _only_part(1), _only_part(2)
    for field in fields(Part):
        assert np.array_equal(getattr(first, field.name), getattr(again, field.name)), field.name
    assert not np.array_equal(first.ordinal, other.ordinal)


def test_lines_add_up_to_their_orders_and_refunds_never_exceed_them() -> None:
    part = _only_part(1)
    sums = np.zeros(SIZE.orders, np.int64)
    np.add.at(sums, part.line_order, part.line_amount)
    assert np.array_equal(sums, part.amount)
    assert (part.amount[part.refund_order] >= part.refund_amount).all()
    assert (part.refund_amount > 0).all()


def test_facts_are_skewed_some_customers_are_empty_and_clock_changes_are_met() -> None:
    part = _only_part(1)
    each = np.bincount(part.ordinal, minlength=SIZE.customers)
    assert 0.20 < (each == 0).mean() < 0.35
    assert each.max() > 10 * each.mean()
    changes = np.array([start for start in offset_table("America/New_York").starts if start > 0])
    near = np.abs(part.placed_at[:, None] - changes[None, :]).min(axis=1) <= 3 * 3_600_000_000
    assert 0.015 < near.mean() < 0.04
    assert 0.02 < len(part.refund_order) / SIZE.orders < 0.04


def test_both_shapes_hold_the_same_number_of_rows(tmp_path: Path) -> None:
    size = Size(customers=50, orders=300)
    rows = write_csv(tmp_path / "csv", size=size, seed=3)
    files = write_mirror(tmp_path / "mirror", size=size, seed=3)
    for kind, number in rows.items():
        assert sum(file["rows"] for file in files if file["kind"] == kind) == number, kind
        lines = (tmp_path / "csv" / f"{kind}.csv").read_text().splitlines()
        assert len(lines) == number + 1
    assert rows["orders"] == 300
