"""The engine beside a DuckDB script written by hand, over the same mirror files.

Both compute the 50 metrics, 10 tag groups, 100 segments and 2 ladders of `definitions.py` for
every customer, write the snapshot and build the bitmaps. The engine goes on as a steady run does:
memberships from those of two days before, sizes, hashes. PostgreSQL is no part of either.

    python bench/engine_run.py            50,000 customers, 1 million orders, 3 rounds
    SIZE=full python bench/engine_run.py  1 million customers, 20 million orders, 5 rounds
    SIZE=huge python bench/engine_run.py  10 million customers, 200 million orders, 1 round

Fails when the two disagree on a single figure. Each measurement is a process of its own, so that
its peak memory is its own. The mirror is kept below BENCH_DIR (default var/bench), so that a run
that was stopped goes on where it was. Prints one JSON document.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402
from by_hand import FRACTIONS, GAPS, ZEROS, duck_dialect, run_by_hand  # noqa: E402
from definitions import PROGRAMS, RANKS, TAGS, catalog  # noqa: E402
from generate import AS_OF, SIZES, ZONE, Size, write_mirror  # noqa: E402
from steps import work_folder  # noqa: E402

ROUNDS = {"tiny": 1, "quick": 3, "full": 5, "huge": 1}
BEFORE = AS_OF - timedelta(days=2)
# `total` stands beside the divisor that only the hand-written script shows.
_WHOLE = [name for name in (*ZEROS, *GAPS) if name != "line_net_365"]
_TEXTS = {"l:value": "value", "l:quintile": "quintile",
          **{f"t:{group}": group for group, _, _ in TAGS}}  # fmt: skip


def main() -> None:
    name = os.environ.get("SIZE", "quick")
    size = SIZES[name]
    folder = work_folder(f"mirror-{size.customers}")
    if len(sys.argv) == 2:
        sys.stdout.write(json.dumps(measured(sys.argv[1], folder)) + "\n")
        return
    started = time.perf_counter()
    write_mirror(folder, size=size, seed=1, processes=2)
    sys.stderr.write(f"mirror: {time.perf_counter() - started:.0f} s\n")
    in_own_process("before")
    rounds = []
    for number in range(ROUNDS[name]):
        pair = {way: in_own_process(way) for way in ("engine", "hand")}
        if pair["engine"]["figures"] != pair["hand"]["figures"]:
            raise SystemExit("engine and hand-written script disagree")
        spent = {way: round(pair[way]["seconds"], 1) for way in pair}
        sys.stderr.write(f"round {number + 1}: {spent} {pair['engine']['stages']}\n")
        rounds.append(pair)
    report(rounds, size)


def report(rounds: list[dict[str, dict[str, Any]]], size: Size) -> None:
    def middle(way: str, what: str) -> float:
        return round(statistics.median(one[way][what] for one in rounds), 2)

    ratio = statistics.median(one["engine"]["seconds"] / one["hand"]["seconds"] for one in rounds)
    rows = [
        {"measure": way, "seconds": middle(way, "seconds"), "peak GB": middle(way, "peak")}
        for way in ("engine", "hand")
    ]
    rows.append({"measure": "engine / hand", "ratio": round(ratio, 3)})
    note = (
        f"{size.customers:,} customers, {size.orders:,} orders; medians of {len(rounds)} rounds;"
        f" engine stages of the last {rounds[-1]['engine']['stages']};"
        f" tier changes {rounds[-1]['engine']['changes']:,}"
    )
    sys.stdout.write(json.dumps({"name": "engine_run", "rows": rows, "note": note}) + "\n")


def in_own_process(way: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, __file__, way], stdout=subprocess.PIPE, text=True, check=True, cwd=ROOT
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def measured(way: str, folder: Path) -> dict[str, Any]:
    """Seconds, peak memory of the process, and the figures as sums of hashes."""
    django.setup()
    from segmentation.engine.backend import open_duckdb

    files = json.loads((folder / "manifest.json").read_text())["files"]
    if way == "before" and (folder / "held.parquet").exists():
        return {}
    more: dict[str, Any] = {}
    with open_duckdb() as duck:
        started = time.perf_counter()
        if way == "hand":
            dialect = duck_dialect(folder, files)
            bitmaps = run_by_hand(duck, dialect, as_of=AS_OF, to=folder / "hand.parquet")
        else:
            more = run_engine(duck, folder, files, way)
            bitmaps = more.pop("bitmaps")
        seconds = time.perf_counter() - started
        figures = duck.execute(CHECK[way == "hand"]).fetchall()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    sizes = {key: len(found) for key, found in bitmaps.items()}
    return {"seconds": seconds, "peak": peak, "figures": [[str(v) for v in figures[0]], sizes],
            **more}  # fmt: skip


def _figures(columns: list[str], *, table: str) -> str:
    """The sum over customers of a hash of who and what; a missing value is one of its own."""
    sums = (f"sum(hash(ordinal::BIGINT, {column})::HUGEINT)" for column in columns)
    return f"SELECT count(*), {', '.join(sums)} FROM {table}"


_SEGMENTS = [f"s{number:03d}" for number in range(100)]
CHECK = (
    _figures(
        [
            *(f'"m:{name}"::BIGINT' for name in _WHOLE),
            *(f'CASE WHEN "d:{name}" > 0 THEN "m:{name}"::BIGINT END' for name in FRACTIONS),
            *(f'"{name}"::VARCHAR' for name in _TEXTS),
            *(f'"s:{name}"' for name in _SEGMENTS),
            *(f'"q:{key}"::BIGINT' for key, _, _ in PROGRAMS),
        ],
        table="verdicts",
    ),
    _figures(
        [
            *(f"{name}::BIGINT" for name in (*_WHOLE, *FRACTIONS)),
            *(f"{name}::VARCHAR" for name in _TEXTS.values()),
            *_SEGMENTS,
            *(f"{key}::BIGINT" for key, _, _ in PROGRAMS),
        ],
        table="hand",
    ),
)


def ladders() -> list[Any]:
    """The two programs as the domain knows them, with the version that applies."""
    from datetime import date
    from decimal import Decimal

    from membership.domain.programs import Program, ProgramVersion, Term, Tier
    from segmentation.domain.definitions import Label
    from segmentation.domain.rules import MetricLeaf

    found = []
    for key, metric, bounds in PROGRAMS:
        tiers = tuple(
            Tier(tier, rank, Label(tier, tier), MetricLeaf(metric, "gte", Decimal(least)))
            for rank, (tier, least) in enumerate(zip(RANKS, bounds, strict=True), 1)
        )
        version = ProgramVersion(
            1, date(2025, 1, 1), tiers, keep_for=Term(months=3), grace=Term(days=30)
        )
        found.append((Program(key, Label(key, key), ZONE, (version,)), version))
    return found


def run_engine(duck: Any, folder: Path, files: list[dict[str, object]], way: str) -> dict[str, Any]:
    """Compile, compute, decide tiers, write and hash with the product's own code."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from membership.services.basis import member_columns
    from membership.services.tier_changes import MEMBERSHIPS, TierRun, decide_tiers
    from segmentation.domain.reading import build_catalog, read_stored
    from segmentation.engine.compute import OVERRIDES, RunInputs, compute
    from segmentation.engine.plan import RankRules, compile_plan
    from segmentation.engine.results import (
        segment_bitmaps,
        sizes,
        write_hashes,
        write_snapshot,
        write_table,
    )
    from segmentation.engine.stopwatch import Stopwatch

    programs = ladders()
    is_first = way == "before"
    as_of = BEFORE if is_first else AS_OF
    watch = Stopwatch()
    with watch.stage("plan"):
        rules = [
            RankRules(program.key, tuple((tier.rank, tier.rule) for tier in version.tiers))
            for program, version in programs
        ]
        plan = compile_plan(build_catalog(read_stored(catalog())), ladders=rules)
        held = MEMBERSHIPS.empty_table() if is_first else pq.read_table(folder / "held.parquet")
    inputs = RunInputs(
        manifest=SimpleNamespace(generation=1, files=files), mirror=folder, watermark=1,
        as_of=as_of, zone=ZoneInfo(ZONE), currency="USD", overrides=OVERRIDES.empty_table(),
        before=pa.table({"ordinal": held["ordinal"], "program": held["program"],
                         "rank": held["rank"]}),
    )  # fmt: skip
    compute(duck, plan, inputs, watch)
    with watch.stage("tiers"):
        tier_run = TierRun(plan, plan.catalog.metrics, as_of, "USD")
        changes = decide_tiers(duck, tier_run, programs, held)
    if is_first:
        write_table(duck, "SELECT * FROM memberships", folder / "held.parquet")
        return {"bitmaps": {}}
    with watch.stage("snapshot"):
        write_snapshot(duck, folder)
        write_table(
            duck,
            "SELECT m.*, v.external_id FROM memberships m JOIN verdicts v USING (ordinal)",
            folder / "memberships.parquet",
        )
        extra = member_columns(duck, SimpleNamespace(programs=programs))
        write_hashes(duck, plan, "USD", folder, extra)
    with watch.stage("bitmaps"):
        bitmaps = segment_bitmaps(duck, plan.catalog)
        sizes(duck, plan.catalog)
    return {"stages": watch.rounded(), "changes": changes.num_rows, "bitmaps": bitmaps}


if __name__ == "__main__":
    main()
