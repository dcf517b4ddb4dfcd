"""Made-up facts for the benchmarks: the same seed and size give the same rows, byte for byte.

    python bench/generate.py csv FOLDER [--customers N] [--orders N] [--seed N]
    python bench/generate.py mirror FOLDER [--customers N] [--orders N] [--seed N]

`csv` writes contract fact files (orders.csv, order_lines.csv, refunds.csv); `mirror` writes the
engine's own Parquet files straight, without PostgreSQL, with `manifest.json` beside them.

What is in it, because each has cost a system like this one dearly: a fifth of the customers has no
order at all; the rest is skewed (lognormal), so that a few have hundreds; 3 % of the orders are
refunded, by line, in part or whole; 2 % lie within three hours of a clock change; 1 % are worth
0.00; an order's lines add up to it exactly. Two years up to 2026-01-01, America/New_York.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from segmentation.engine.local_days import local_days, micros, offset_table
from segmentation.engine.schema import MIRROR_KINDS

Ints = npt.NDArray[np.int64]

ZONE = "America/New_York"
FROM = micros(datetime(2024, 1, 1, 5, tzinfo=UTC))
AS_OF = datetime(2026, 1, 1, 5, tzinfo=UTC)
CENT = 100  # in 1/10000
HOUR = 3_600_000_000
EMPTY_SHARE, REFUND_SHARE, CLOCK_CHANGE_SHARE = 0.20, 0.03, 0.02
CUSTOMERS_PER_PART = 100_000
MOST_LINES = 8
CHANNELS = np.array(["store", "app", "web", "miniprogram"])
STATUSES = np.array(["completed", "paid", "shipped"])
CATEGORIES = np.array([f"category {number:03d}" for number in range(200)])
CITY_TIERS = np.array(["first", "second", "third"])


@dataclass(frozen=True)
class Size:
    customers: int
    orders: int


SIZES = {
    "tiny": Size(2_000, 40_000),
    "quick": Size(50_000, 1_000_000),
    "full": Size(1_000_000, 20_000_000),
    "huge": Size(10_000_000, 200_000_000),
}


@dataclass(frozen=True)
class Part:
    """The facts of one stretch of customers; money in 1/10000, times in microseconds UTC.

    Orders are sorted by time, lines by order. `order` of lines and refunds counts within the part.
    """

    first_customer: int
    customers: int
    first_order: int
    first_line: int
    ordinal: Ints
    placed_at: Ints
    amount: Ints
    discount: Ints
    channel: Ints
    status: Ints
    store: Ints
    line_order: Ints
    line_no: Ints
    line_amount: Ints
    line_discount: Ints
    category: Ints
    sku: Ints
    quantity: Ints
    refund_order: Ints
    refund_line: Ints  # 0: the whole order
    refund_amount: Ints
    refunded_at: Ints


def parts(size: Size, *, seed: int) -> Iterator[Part]:
    """Part after part; `size.orders` orders in all."""
    for number in range(count_parts(size)):
        yield part_of(size, number, seed=seed)


def count_parts(size: Size) -> int:
    return -(-size.customers // CUSTOMERS_PER_PART)


def part_of(size: Size, number: int, *, seed: int) -> Part:
    """One part by itself: it does not depend on the others."""
    first_customer = number * CUSTOMERS_PER_PART
    customers = min(CUSTOMERS_PER_PART, size.customers - first_customer)
    first_order = size.orders * first_customer // size.customers
    wanted = size.orders * (first_customer + customers) // size.customers - first_order
    rng = np.random.default_rng([seed, first_customer])
    return _part(rng, first_customer, customers, first_order, first_order * MOST_LINES, wanted)


def _part(
    rng: np.random.Generator,
    first_customer: int,
    customers: int,
    first_order: int,
    first_line: int,
    orders: int,
) -> Part:
    weight = rng.lognormal(0, 1.3, customers)
    weight[rng.random(customers) < EMPTY_SHARE] = 0
    weight[0] = max(weight[0], 0.01)  # somebody takes the orders, however small the part is
    ordinal = first_customer + rng.choice(customers, orders, p=weight / weight.sum())
    placed_at = FROM + rng.integers(0, micros(AS_OF) - FROM, orders)
    changes = np.array([s for s in offset_table(ZONE).starts if FROM < s < micros(AS_OF)])
    at_change = rng.random(orders) < CLOCK_CHANGE_SHARE
    placed_at[at_change] = rng.choice(changes, at_change.sum()) + rng.integers(
        -3 * HOUR, 3 * HOUR, at_change.sum()
    )
    by_time = np.argsort(placed_at, kind="stable")
    ordinal, placed_at = ordinal[by_time], placed_at[by_time]
    cents = np.maximum(rng.lognormal(8.1, 0.9, orders).astype(np.int64), 1)
    cents[rng.random(orders) < 0.01] = 0

    lines_each = np.minimum(rng.geometric(0.5, orders), MOST_LINES)
    line_order = np.repeat(np.arange(orders), lines_each)
    starts = np.r_[0, np.cumsum(lines_each)[:-1]] if orders else np.zeros(0, np.int64)
    line_no = np.arange(len(line_order)) - np.repeat(starts, lines_each) + 1
    share = rng.integers(1, 1000, len(line_order))
    total = np.add.reduceat(share, starts) if orders else share
    line_cents = cents[line_order] * share // total[line_order]
    if orders:
        line_cents[starts] += cents - np.add.reduceat(line_cents, starts)
    line_saved = np.where(rng.random(len(line_order)) < 0.3, line_cents // 5, 0)
    saved = np.add.reduceat(line_saved, starts) if orders else line_saved

    refunded = np.flatnonzero((rng.random(orders) < REFUND_SHARE) & (cents > 0))
    way = rng.integers(0, 3, len(refunded))  # a line, half of the order, all of it
    first_line_cents = line_cents[starts[refunded]]
    way = np.where((way == 0) & (first_line_cents == 0), 2, way)
    refund_cents = np.select(
        [way == 0, way == 1],
        [first_line_cents, np.maximum(cents[refunded] // 2, 1)],
        cents[refunded],
    )
    return Part(
        first_customer=first_customer,
        customers=customers,
        first_order=first_order,
        first_line=first_line,
        ordinal=ordinal,
        placed_at=placed_at,
        amount=cents * CENT,
        discount=saved * CENT,
        channel=rng.choice(4, orders, p=[0.5, 0.3, 0.15, 0.05]),
        status=rng.choice(3, orders, p=[0.95, 0.03, 0.02]),
        store=rng.integers(1, 120, orders),
        line_order=line_order,
        line_no=line_no,
        line_amount=line_cents * CENT,
        line_discount=line_saved * CENT,
        category=np.minimum(rng.geometric(0.02, len(line_order)), 200) - 1,
        sku=rng.integers(1, 20_000, len(line_order)),
        quantity=rng.integers(1, 5, len(line_order)) * 10_000,
        refund_order=refunded,
        refund_line=np.where(way == 0, 1, 0),
        refund_amount=refund_cents * CENT,
        refunded_at=placed_at[refunded] + rng.integers(HOUR, 24 * 30 * HOUR, len(refunded)),
    )


def write_csv(folder: Path, *, size: Size, seed: int) -> dict[str, int]:
    """orders.csv, order_lines.csv and refunds.csv in the contract's columns; rows by kind."""
    folder.mkdir(parents=True, exist_ok=True)
    writers: dict[str, pa_csv.CSVWriter] = {}
    rows: dict[str, int] = {}
    for part in parts(size, seed=seed):
        for kind, table in _contract_tables(part).items():
            if kind not in writers:
                writers[kind] = pa_csv.CSVWriter(
                    folder / f"{kind}.csv",
                    table.schema,
                    write_options=pa_csv.WriteOptions(quoting_style="none"),
                )
            writers[kind].write_table(table)
            rows[kind] = rows.get(kind, 0) + table.num_rows
    for writer in writers.values():
        writer.close()
    return rows


def _contract_tables(part: Part) -> dict[str, pa.Table]:
    def money(units: Ints) -> pa.Array:
        cents = units // CENT
        whole = np.char.add((cents // 100).astype(str), ".")
        return pa.array(np.char.add(whole, np.char.zfill((cents % 100).astype(str), 2)))

    def time(instants: Ints) -> pa.Array:
        seconds = np.datetime_as_string(instants.astype("datetime64[us]"), unit="s")
        return pa.array(np.char.add(seconds, "Z"))

    def key(letter: str, numbers: Ints) -> pa.Array:
        return pa.array(np.char.add(letter, numbers.astype(str)))

    lines = part.first_order + part.line_order
    refunds = part.first_order + part.refund_order
    return {
        "orders": pa.table(
            {
                "order_id": key("O", part.first_order + np.arange(len(part.amount))),
                "customer_id": key("C", part.ordinal),
                "placed_at": time(part.placed_at),
                "amount": money(part.amount),
                "discount": money(part.discount),
                "channel": pa.array(CHANNELS[part.channel]),
                "is_promotion": pa.array(np.where(part.discount > 0, "true", "false")),
                "status": pa.array(STATUSES[part.status]),
                "store_id": key("S", part.store),
            }
        ),
        "order_lines": pa.table(
            {
                "order_id": key("O", lines),
                "line_no": pa.array(part.line_no),
                "sku": key("A", part.sku),
                "amount": money(part.line_amount),
                "category": pa.array(CATEGORIES[part.category]),
                "quantity": pa.array(part.quantity // 10_000),
                "discount": money(part.line_discount),
            }
        ),
        "refunds": pa.table(
            {
                "refund_id": key("R", refunds),
                "order_id": key("O", refunds),
                "refunded_at": time(part.refunded_at),
                "amount": money(part.refund_amount),
                "line_no": pa.array(
                    np.where(part.refund_line > 0, part.refund_line.astype(str), "")
                ),
            }
        ),
    }


def write_mirror(
    folder: Path, *, size: Size, seed: int, processes: int = 1
) -> list[dict[str, object]]:
    """The mirror's files below `folder`, as its manifest lists them; all of generation 1.

    Ids are positions counted from 1; customers also carry the tag group `city_tier`. A part that
    an earlier call finished is not written again.
    """
    (folder / "parts").mkdir(parents=True, exist_ok=True)
    write = partial(_write_part, folder, size, seed)
    numbers = range(count_parts(size))
    if processes == 1:
        written = [write(number) for number in numbers]
    else:
        with ProcessPoolExecutor(processes) as pool:
            written = list(pool.map(write, numbers))
    files = [file for part in written for file in part]
    (folder / "manifest.json").write_text(json.dumps({"generation": 1, "files": files}))
    return files


def _write_part(folder: Path, size: Size, seed: int, number: int) -> list[dict[str, object]]:
    note = folder / "parts" / f"{size.customers}-{size.orders}-{seed}-{number}.json"
    if note.is_file():
        done: list[dict[str, object]] = json.loads(note.read_text())
        return done
    files: list[dict[str, object]] = []
    for kind, columns in _mirror_columns(part_of(size, number, seed=seed)).items():
        spec = MIRROR_KINDS[kind]
        rows = len(columns["id"])
        for name, has_day in spec.times:
            if has_day and name in columns:
                days = local_days(np.asarray(columns[name]), ZONE)
                columns[name.removesuffix("_at") + "_day"] = days
        columns["generation"] = np.ones(rows, np.int64)
        table = pa.table(
            [
                pa.array(columns[field.name], field.type)
                if field.name in columns
                else pa.nulls(rows, field.type)
                for field in spec.schema
            ],
            schema=spec.schema,
        )
        for month, chosen in _by_month(spec.month, columns, rows):
            path = Path(kind) / month / f"rows-00000001-bench-{number}.parquet"
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(table.take(chosen), folder / path, compression="zstd")
            files.append(
                {
                    "kind": kind, "role": "rows", "month": month, "path": str(path),
                    "generation": 1, "rows": len(chosen),
                    "bytes": (folder / path).stat().st_size,
                }
            )  # fmt: skip
    note.write_text(json.dumps(files))
    return files


def _mirror_columns(part: Part) -> dict[str, dict[str, npt.NDArray[np.generic]]]:
    here = part.first_customer + np.arange(part.customers)
    tagged = here[here % 5 < 3]
    names = np.char.add("S", part.store.astype(str))
    orders = {
        "ordinal": part.ordinal,
        "placed_at": part.placed_at,
        "channel": CHANNELS[part.channel],
        "is_promotion": part.discount > 0,
        "status": STATUSES[part.status],
        "store_id": names,
    }
    of_line = {name: column[part.line_order] for name, column in orders.items()}
    return {
        "customers": {
            "id": here + 1,
            "ordinal": here,
            "external_id": np.char.add("C", here.astype(str)),
            "is_staff": np.zeros(part.customers, bool),
            "consent_marketing": here % 2 == 0,
        },
        "orders": {
            "id": part.first_order + np.arange(len(part.amount)) + 1,
            "amount": part.amount,
            "discount": part.discount,
            "currency": np.full(len(part.amount), "USD"),
            **orders,
        },
        "order_lines": {
            "id": part.first_line + np.arange(len(part.line_order)) + 1,
            "order_id": part.first_order + part.line_order + 1,
            "line_no": part.line_no,
            "sku": np.char.add("A", part.sku.astype(str)),
            "category": CATEGORIES[part.category],
            "quantity": part.quantity,
            "amount": part.line_amount,
            "discount": part.line_discount,
            "is_durable": np.zeros(len(part.line_order), bool),
            "qualifies": np.ones(len(part.line_order), bool),
            **of_line,
        },
        "refunds": {
            "id": part.first_order + part.refund_order + 1,
            "order_id": part.first_order + part.refund_order + 1,
            "line_no": np.ma.masked_equal(part.refund_line, 0),
            "refunded_at": part.refunded_at,
            "amount": part.refund_amount,
        },
        "tags": {
            "id": tagged + 1,
            "ordinal": tagged,
            "tag_group": np.full(len(tagged), "city_tier"),
            "value": CITY_TIERS[tagged % 3],
        },
    }


def _by_month(
    column: str | None, columns: dict[str, npt.NDArray[np.generic]], rows: int
) -> Iterator[tuple[str, Ints]]:
    if column is None:
        yield "all", np.arange(rows)
        return
    months = columns[column].astype("datetime64[D]").astype("datetime64[M]")
    for month in np.unique(months):
        yield str(month), np.flatnonzero(months == month)


def main() -> None:
    reader = argparse.ArgumentParser(description="Made-up facts for the benchmarks.")
    reader.add_argument("shape", choices=["csv", "mirror"])
    reader.add_argument("folder", type=Path)
    reader.add_argument("--customers", type=int, default=SIZES["quick"].customers)
    reader.add_argument("--orders", type=int, default=SIZES["quick"].orders)
    reader.add_argument("--seed", type=int, default=1)
    given = reader.parse_args()
    write: Callable[..., object] = write_csv if given.shape == "csv" else write_mirror
    write(given.folder, size=Size(given.customers, given.orders), seed=given.seed)


if __name__ == "__main__":
    main()
