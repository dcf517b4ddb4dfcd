"""One run of the engine beside a DuckDB script written by hand, over the same mirror files.

Both compute the same 20 metrics, two layerings (one by percentiles), a rule tag, 20 segments and
the ladder of a three-tier program for every customer, write the snapshot and build the bitmaps.
The hand-written script is the lower bound: it has no versions, no exactness for fractions beyond
what these figures need, no hashes, no oracle. PostgreSQL is no part of either.

    python bench/engine_run.py            50,000 customers, 1 million orders, 3 rounds
    SIZE=full python bench/engine_run.py  1 million customers, 20 million orders, 3 rounds

Prints one JSON document; fails when the two disagree on a single figure.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
from generate import AS_OF, SIZES, ZONE, write_mirror  # noqa: E402
from pyroaring import BitMap  # noqa: E402

ROUNDS = 3
WINDOWS = (30, 90, 180, 365)
TIERS = ((1, "bronze", 500), (2, "silver", 1200), (3, "gold", 2400))
MONEY = 10_000


def catalog_document() -> dict[str, object]:
    """The definitions, in the format of the contract."""
    metrics: list[dict[str, object]] = []
    for days in WINDOWS:
        window = {"days": days, "to_now": True}
        orders = {"source": "orders", "window": window}
        net = {"field": "net_amount"}
        metrics += [
            {"key": f"spend_{days}", "unit": "money", "aggregate": {"fn": "sum", **net}, **orders},
            {"key": f"orders_{days}", "unit": "count", "aggregate": {"fn": "count"}, **orders},
            {
                "key": f"promo_{days}",
                "unit": "ratio",
                "aggregate": {
                    "fn": "share",
                    **net,
                    "where": {"field": "is_promotion", "cmp": "eq", "value": True},
                },
                **orders,
            },
            {"key": f"active_{days}", "unit": "days", "aggregate": {"fn": "active_days"}, **orders},
        ]
    year = {"source": "orders", "window": {"days": 365, "to_now": True}}
    metrics += [
        {
            "key": "basket",
            "unit": "money",
            "aggregate": {"fn": "avg", "field": "net_amount"},
            **year,
        },
        {
            "key": "largest",
            "unit": "money",
            "aggregate": {"fn": "max", "field": "net_amount"},
            **year,
        },
        {
            "key": "stores",
            "unit": "count",
            "aggregate": {"fn": "count_distinct", "field": "store_id"},
            **year,
        },
        {
            "key": "recency",
            "unit": "days",
            "source": "orders",
            "window": {"all": True},
            "aggregate": {"fn": "days_since_last"},
        },
    ]
    segments = [
        {
            "key": f"s{number:02d}",
            "purpose": "service",
            "visibility": "internal",
            "rule": _segment_rule(number),
        }
        for number in range(20)
    ]
    return {
        "metrics": metrics,
        "tags": [
            {
                "group": "promo_lover",
                "exclusive": True,
                "rules": [
                    {"value": "yes", "rule": {"metric": "promo_180", "cmp": "gte", "value": "0.6"}},
                    {"value": "no", "rule": {"metric": "orders_180", "cmp": "gte", "value": 1}},
                ],
            }
        ],
        "layerings": [
            {"key": "value", "metric": "spend_365", "cuts": ["500", "2000"],
             "layers": ["low", "middle", "high"]},
            {"key": "quintile", "metric": "spend_365",
             "cuts": {"percentiles": [20, 40, 60, 80]}, "layers": ["q1", "q2", "q3", "q4", "q5"]},
        ],
        "segments": segments,
    }  # fmt: skip


def _segment_rule(number: int) -> dict[str, object]:
    if number % 4 == 3:
        return {"all": [{"segment": f"s{number - 1:02d}", "cmp": "member"},
                        {"not": {"layer": "value", "cmp": "in", "value": ["low"]}}]}  # fmt: skip
    return {
        "all": [
            {"metric": f"spend_{WINDOWS[number % 4]}", "cmp": "gte", "value": 50 + 10 * number},
            {"any": [{"metric": "recency", "cmp": "lte", "value": 20 + number},
                     {"metric": "promo_365", "cmp": "lt", "value": "0.25"}]},
        ]
    }  # fmt: skip


def by_hand_sql(
    paths: dict[str, list[str]], *, as_of: int, today: int, starts: dict[int, int]
) -> str:
    """The same columns by hand: one pass, divisions where they are exact enough for the rule."""
    sums = ", ".join(
        f"coalesce(sum(net) FILTER (WHERE t >= {starts[d]}), 0)::BIGINT AS spend_{d},"
        f" count(*) FILTER (WHERE t >= {starts[d]}) AS orders_{d},"
        f" coalesce(sum(net) FILTER (WHERE t >= {starts[d]} AND promo), 0)::BIGINT AS promo_{d}"
        for d in WINDOWS
    )
    flags = ", ".join(f"bool_or(t >= {starts[d]}) AS f_{d}" for d in WINDOWS)
    active = ", ".join(f"count(*) FILTER (WHERE f_{d}) AS active_{d}" for d in WINDOWS)
    shown = ", ".join(
        f"coalesce(spend_{d}, 0) AS spend_{d}, coalesce(orders_{d}, 0) AS orders_{d},"
        f" coalesce(active_{d}, 0) AS active_{d}, promo_{d}"
        for d in WINDOWS
    )
    segments = []
    for number in range(20):
        if number % 4 == 3:
            segments.append(f"s{number - 1:02d} AND spend_365 >= {500 * MONEY} AS s{number:02d}")
        else:
            segments.append(
                f"spend_{WINDOWS[number % 4]} >= {(50 + 10 * number) * MONEY}"
                f" AND (coalesce(recency <= {20 + number}, false)"
                " OR coalesce(promo_365 * 4 < spend_365 AND spend_365 > 0, false))"
                f" AS s{number:02d}"
            )
    tiers = " ".join(
        f"WHEN spend_180 >= {threshold * MONEY} THEN {rank}"
        for rank, _, threshold in reversed(TIERS)
    )
    return f"""
    CREATE OR REPLACE TEMP TABLE hand AS
    WITH o AS (
      SELECT o.ordinal, o.placed_at AS t, o.placed_day AS day, o.is_promotion AS promo, o.store_id,
             greatest(o.amount - coalesce(r.refunded, 0), 0) AS net
      FROM read_parquet({paths["orders"]!r}) o
      LEFT JOIN (SELECT order_id, sum(amount)::BIGINT AS refunded
                 FROM read_parquet({paths["refunds"]!r}) WHERE refunded_at < {as_of}
                 GROUP BY order_id) r ON r.order_id = o.id
      WHERE o.placed_at < {as_of}),
    a AS (SELECT ordinal, {sums}, sum(net) FILTER (WHERE t >= {starts[365]})::BIGINT AS basket,
                 max(net) FILTER (WHERE t >= {starts[365]}) AS largest,
                 {today} - max(day)::BIGINT AS recency
          FROM o GROUP BY ordinal),
    d AS (SELECT ordinal, {active} FROM (SELECT ordinal, day, {flags} FROM o GROUP BY ALL)
          GROUP BY ordinal),
    s AS (SELECT ordinal, count(*) FILTER (WHERE f) AS stores
          FROM (SELECT ordinal, store_id, bool_or(t >= {starts[365]}) AS f FROM o
                WHERE store_id IS NOT NULL GROUP BY ALL) GROUP BY ordinal),
    m AS (SELECT c.ordinal, c.external_id, {shown}, basket, largest, recency,
                 coalesce(stores, 0) AS stores
          FROM read_parquet({paths["customers"]!r}) c
          LEFT JOIN a USING (ordinal) LEFT JOIN d USING (ordinal) LEFT JOIN s USING (ordinal)),
    cuts AS (SELECT list(v ORDER BY v) AS c FROM (
               SELECT spend_365 AS v, row_number() OVER (ORDER BY spend_365) - 1 AS i,
                      count(*) OVER () AS n FROM m)
             WHERE i IN (n * 20 // 100, n * 40 // 100, n * 60 // 100, n * 80 // 100))
    SELECT m.*,
      CASE WHEN spend_365 >= {2000 * MONEY} THEN 'high'
           WHEN spend_365 >= {500 * MONEY} THEN 'middle' ELSE 'low' END AS value,
      'q' || (1 + len(list_filter((SELECT c FROM cuts), lambda x: x <= spend_365))) AS quintile,
      CASE WHEN spend_180 > 0 AND promo_180 * 10 >= spend_180 * 6 THEN 'yes'
           WHEN orders_180 >= 1 THEN 'no' END AS promo_lover,
      {", ".join(segments)},
      CASE {tiers} END AS tier
    FROM m"""


def main() -> None:
    django.setup()
    size = SIZES["full" if os.environ.get("SIZE") == "full" else "quick"]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        started = time.perf_counter()
        files = write_mirror(folder, size=size, seed=1)
        sys.stderr.write(f"made the mirror in {time.perf_counter() - started:.0f} s\n")
        rounds = [measure(folder, files) for _ in range(ROUNDS)]
    engine = [spent["engine"] for spent, _ in rounds]
    hand = [spent["by hand"] for spent, _ in rounds]
    stages = {name: round(value, 3) for name, value in rounds[-1][1].items()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    rows = [
        {"measure": "engine", "seconds": round(statistics.median(engine), 3)},
        {"measure": "by hand", "seconds": round(statistics.median(hand), 3)},
        {
            "measure": "engine / by hand",
            "seconds": None,
            "ratio": round(statistics.median(a / b for a, b in zip(engine, hand, strict=True)), 3),
        },
    ]
    note = (
        f"{size.customers:,} customers, {size.orders:,} orders; engine stages {stages};"
        f" peak memory of both {peak:.1f} GB"
    )
    sys.stdout.write(json.dumps({"name": "engine_run", "rows": rows, "note": note}) + "\n")


def measure(
    folder: Path, files: list[dict[str, object]]
) -> tuple[dict[str, float], dict[str, float]]:
    """One round of each, compared figure by figure; seconds of both and of the engine's stages."""
    from segmentation.engine.backend import open_duckdb

    spent: dict[str, float] = {}
    with open_duckdb() as duck:
        started = time.perf_counter()
        stages = run_engine(duck, folder, files)
        spent["engine"] = time.perf_counter() - started
        mine = {name: BitMap(bitmap) for name, bitmap in stages.pop("bitmaps").items()}
        figures = duck.execute(CHECK_ENGINE).fetchall()
    with open_duckdb() as duck:
        started = time.perf_counter()
        theirs = run_by_hand(duck, folder, files)
        spent["by hand"] = time.perf_counter() - started
        assert figures == duck.execute(CHECK_HAND).fetchall(), "the two disagree on metrics"
    assert mine == theirs, "the two disagree on segments"
    return spent, stages["seconds"]


# Every figure of every customer, as one number a column: equal columns have equal sums.
_WHOLE = [f"{name}_{days}" for name in ("spend", "orders", "active") for days in WINDOWS]
_WHOLE += ["largest", "recency", "stores"]
_TEXTS = {"l:value": "value", "l:quintile": "quintile", "t:promo_lover": "promo_lover"}


def _figures(columns: list[str], *, table: str) -> str:
    """The sum over customers of a hash of who and what; a missing value is one of its own."""
    sums = (f"sum(hash(ordinal::BIGINT, {column})::HUGEINT)" for column in columns)
    return f"SELECT count(*), {', '.join(sums)} FROM {table}"


# A share has no value where its divisor is 0, an average none without an order.
CHECK_ENGINE = _figures(
    [
        *(f'"m:{name}"::BIGINT' for name in _WHOLE),
        *(f'CASE WHEN "d:promo_{days}" > 0 THEN "m:promo_{days}"::BIGINT END' for days in WINDOWS),
        'CASE WHEN "d:basket" > 0 THEN "m:basket"::BIGINT END',
        *(f'"{name}"::VARCHAR' for name in _TEXTS),
        '"q:club"::BIGINT',
    ],
    table="verdicts",
)
CHECK_HAND = _figures(
    [
        *(f"{name}::BIGINT" for name in _WHOLE),
        *(f"CASE WHEN spend_{days} > 0 THEN promo_{days}::BIGINT END" for days in WINDOWS),
        "basket::BIGINT",
        *(f"{name}::VARCHAR" for name in _TEXTS.values()),
        "tier::BIGINT",
    ],
    table="hand",
)


def run_engine(duck, folder: Path, files: list[dict[str, object]]) -> dict[str, object]:
    """Compile, compute, write and build bitmaps with the product's own code."""
    from segmentation.domain.reading import build_catalog, read_stored
    from segmentation.domain.rules import MetricLeaf
    from segmentation.engine.compute import OVERRIDES, RunInputs, compute
    from segmentation.engine.plan import RankRules, compile_plan
    from segmentation.engine.results import segment_bitmaps, write_snapshot
    from segmentation.engine.stopwatch import Stopwatch

    watch = Stopwatch()
    with watch.stage("plan"):
        from decimal import Decimal

        catalog = build_catalog(read_stored(catalog_document()))
        ladder = RankRules(
            "club",
            tuple(
                (rank, MetricLeaf("spend_180", "gte", Decimal(least))) for rank, _, least in TIERS
            ),
        )
        plan = compile_plan(catalog, ladders=[ladder])
    inputs = RunInputs(
        manifest=SimpleNamespace(generation=1, files=files),
        mirror=folder,
        watermark=1,
        as_of=AS_OF,
        zone=ZoneInfo(ZONE),
        currency="USD",
        overrides=OVERRIDES.empty_table(),
        before=pa.table({"ordinal": pa.array([], pa.int64()), "program": pa.array([], pa.string()),
                         "rank": pa.array([], pa.int64())}),
    )  # fmt: skip
    compute(duck, plan, inputs, watch)
    with watch.stage("snapshot"):
        write_snapshot(duck, folder)
    with watch.stage("bitmaps"):
        bitmaps = segment_bitmaps(duck, catalog)
    return {"seconds": watch.seconds, "bitmaps": bitmaps}


def run_by_hand(duck, folder: Path, files: list[dict[str, object]]) -> dict[str, BitMap]:
    from segmentation.engine.local_days import local_days, micros

    paths = {
        kind: [str(folder / str(file["path"])) for file in files if file["kind"] == kind]
        for kind in ("customers", "orders", "refunds")
    }
    zone = ZoneInfo(ZONE)
    midnight = AS_OF.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0)
    starts = {
        days: micros(
            (midnight.replace(tzinfo=None) - timedelta(days=days - 1)).replace(tzinfo=zone)
        )
        for days in WINDOWS
    }
    today = int(local_days(np.array([micros(AS_OF)]), ZONE)[0])
    duck.execute(by_hand_sql(paths, as_of=micros(AS_OF), today=today, starts=starts))
    duck.execute(f"COPY hand TO '{folder / 'hand.parquet'}' (FORMAT parquet, COMPRESSION zstd)")
    names = [f"s{number:02d}" for number in range(20)]
    table = duck.sql(f"SELECT ordinal, {', '.join(names)} FROM hand").to_arrow_table()
    ordinals = np.asarray(table["ordinal"]).astype(np.uint32)
    return {name: BitMap(ordinals[np.asarray(table[name])]) for name in names}


if __name__ == "__main__":
    main()
