"""The night's work at 1 million customers: real runs in PostgreSQL beside hand-written bounds.

A shop of 1 million customers, 20 million orders and 40 million lines; 50 metrics, 10 tag groups,
100 segments, 2 programs (`definitions.py`). Measured, each in a process of its own:

    steady run           five runs two days apart, from the mirror to published, PostgreSQL's writes
                         apart; interleaved with `by_hand.py` over the same files: at most 1.5 times
    enrolment            the first run's memberships and transitions beside a bare COPY of the same
                         rows into the same tables: at most 3 times
    SQL, pandas          the same figures set-based in PostgreSQL and in pandas: once, reported
    preview, overlap     a draft rule over published metrics; 100 segments pairwise: under 1 s

    python bench/steady.py            50,000 customers, 1 million orders
    SIZE=full python bench/steady.py  the sizes above; 10 to 20 minutes for the shop alone
    python bench/steady.py clean      removes what the last two keep

Every finished step is kept below BENCH_DIR (default var/bench) and in a database of its own, so
that a stopped benchmark goes on where it was. Prints one JSON document; exit code 1 above a bound.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "bench"))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

import django  # noqa: E402
from generate import AS_OF, SIZES, ZONE, Size  # noqa: E402
from steps import Steps, database_url, work_folder  # noqa: E402

ROUNDS = 5
STEADY, ENROLMENT, SECONDS, MEMORY = 1.5, 3.0, 1.0, 6.0
FIRST = AS_OF - timedelta(days=2 * ROUNDS)


def main() -> int:
    name = "full" if os.environ.get("SIZE") == "full" else "quick"
    size = SIZES[name]
    if len(sys.argv) == 2 and sys.argv[1] != "clean":
        return one_step(sys.argv[1], size)
    folder = work_folder(f"steady-{size.customers}")
    django.setup()
    url = own_database(f"steady_{size.customers}", drop=sys.argv[1:] == ["clean"])
    if url is None:
        shutil.rmtree(folder)
        return 0
    steps = Steps(folder / "steps.json")
    for step in all_steps():
        if step not in steps.done:
            steps.keep(step, in_own_process(step, url=url, folder=folder))
            sys.stderr.write(f"{step}: {steps.done[step]}\n")
    return report(steps.done, size)


def all_steps() -> list[str]:
    rounds = [f"{way}-{number}" for number in range(1, ROUNDS + 1) for way in ("run", "hand")]
    return ["shop", "mirror", "run-0", "enrolment", *rounds, "preview", "overlap", "sql", "pandas"]


def own_database(name: str, *, drop: bool) -> str | None:
    """The address of the database, made when it is missing; None after dropping it."""
    from django.db import connection

    name = f"{connection.settings_dict['NAME']}_{name}"
    with connection.cursor() as cursor:
        if drop:
            cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
            return None
        cursor.execute("SELECT FROM pg_database WHERE datname = %s", [name])
        if cursor.fetchone() is None:
            cursor.execute(f'CREATE DATABASE "{name}"')
    return database_url(name)


def in_own_process(step: str, *, url: str, folder: Path) -> dict[str, Any]:
    environment = os.environ | {
        "DATABASE_URL": url,
        "VAR_DIR": str(folder / "var"),
        "BENCH_DIR": str(folder.parent),
        "TIERWISE_TESTING": "1",
        "TIME_ZONE": ZONE,
        "BASE_CURRENCY": "USD",
        "SECRET_KEY": secrets.token_hex(32),
    }
    done = subprocess.run(
        [sys.executable, __file__, step],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def one_step(step: str, size: Size) -> int:
    django.setup()
    import steady_steps

    name, _, number = step.partition("-")
    as_of = FIRST + timedelta(days=2 * int(number or 0))
    found = getattr(steady_steps, name)(size=size, as_of=as_of)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def report(done: dict[str, dict[str, Any]], size: Size) -> int:
    runs = [done[f"run-{number}"] for number in range(1, ROUNDS + 1)]
    hands = [done[f"hand-{number}"] for number in range(1, ROUNDS + 1)]
    steady = statistics.median(run["seconds"] for run in runs)
    ratios = [run["seconds"] / hand["seconds"] for run, hand in zip(runs, hands, strict=True)]
    peak = max(run["peak"] for run in runs)
    enrolment = done["enrolment"]
    own, copied = statistics.median(enrolment["own"]), statistics.median(enrolment["copy"])
    preview, overlap = max(done["preview"]["seconds"]), max(done["overlap"]["seconds"])
    rows = [
        _row("steady run, mirror to published", steady, ratio=statistics.median(ratios),
             bound=STEADY),
        _row("the same by hand in DuckDB", statistics.median(hand["seconds"] for hand in hands)),
        _row("PostgreSQL writes of the run", statistics.median(run["writes"] for run in runs)),
        _row("peak memory of the run, GB", peak, bound=MEMORY),
        _row("first run's enrolment", own, ratio=own / copied, bound=ENROLMENT),
        _row("COPY of the same rows", copied),
        _row("preview of a draft rule, slowest", preview, bound=SECONDS),
        _row("overlap of 100 segments, slowest", overlap, bound=SECONDS),
        _row("the same set-based in PostgreSQL", done["sql"]["seconds"],
             ratio=done["sql"]["seconds"] / steady),
        _row("the same in pandas", done["pandas"]["seconds"],
             ratio=done["pandas"]["seconds"] / steady),
        _row("mirror of all facts, once", done["mirror"]["seconds"]),
    ]  # fmt: skip
    moved = statistics.median(run["moved"] for run in runs)
    note = (
        f"{size.customers:,} customers, {size.orders:,} orders, {done['shop']['lines']:,} lines;"
        f" {moved:.1f} % of the tiers change in a run; medians of {ROUNDS} rounds; stages of the"
        f" last run {runs[-1]['stages']}, spilled {runs[-1]['spilled']:.1f} GB; first preview of a"
        f" process {done['preview']['first']:.1f} s; peak of pandas"
        f" {done['pandas']['peak']:.1f} GB"
    )
    sys.stdout.write(json.dumps({"name": "steady", "rows": rows, "note": note}) + "\n")
    return 0 if all(row["holds"] is not False for row in rows) else 1


def _row(
    measure: str, figure: float, *, ratio: float | None = None, bound: float | None = None
) -> dict[str, Any]:
    against = figure if ratio is None else ratio
    return {
        "measure": measure,
        "seconds": round(figure, 3),
        "ratio": None if ratio is None else round(ratio, 2),
        "bound": bound,
        "holds": None if bound is None else against <= bound,
    }


if __name__ == "__main__":
    raise SystemExit(main())
