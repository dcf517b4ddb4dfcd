"""Runs the benchmarks one after the other, prints their tables and keeps their results.

    SIZE=quick|full python bench/run.py [NAME ...]        (default: full, all)
    SIZE=huge python bench/run.py engine_run

`full` are the sizes that are promised: an import of 1 million orders, a run over 1 million
customers and 20 million orders; two hours, and a stopped one goes on where it was. `quick` is small
enough to try a change. `huge` are 10 million customers and 200 million orders, once.

Each benchmark is a script of this folder that reads SIZE, says what it does on standard error and
prints one JSON document on standard output: `{"name": ..., "rows": [{column: value, ...}, ...]}`.
Absolute seconds say something about this machine only; the `ratio` columns compare two ways of
doing the same work side by side, and those are what a change must not make worse.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from table import printed

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results"
BENCHMARKS = ("import_orders", "mirror_orders", "engine_run", "steady", "instant", "pages")


def main() -> int:
    size = os.environ.get("SIZE", "").strip() or "full"
    if size not in ("quick", "full") and (size, sys.argv[1:]) != ("huge", ["engine_run"]):
        sys.stderr.write(f"SIZE={size}: write quick or full (huge: for engine_run alone)\n")
        return 2
    names = sys.argv[1:] or [name for name in BENCHMARKS if (FOLDER / f"{name}.py").is_file()]
    failed = []
    for name in names:
        sys.stdout.write(f"\n{name} ({size})\n")
        sys.stdout.flush()
        document, code = _measured(name, size=size)
        if code or document is None:
            failed.append(name)
        if document is None:
            continue
        _keep(document, name=name, size=size)
        sys.stdout.write(printed(document["rows"]) + "\n")
        if note := document.get("note"):
            sys.stdout.write(f"{note}\n")
    if failed:
        sys.stderr.write(f"failed: {', '.join(failed)}\n")
    return 1 if failed else 0


def _measured(name: str, *, size: str) -> tuple[dict[str, Any] | None, int]:
    """What the benchmark printed, with its own duration, and its exit code: one that missed its
    goal says so with the code and still has a table."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py")],
        cwd=FOLDER.parent,
        env=os.environ | {"SIZE": size},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        document: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        sys.stderr.write(f"{name} printed no JSON document:\n{done.stdout[-2000:]}\n")
        return None, done.returncode
    return document | {"took_seconds": round(time.perf_counter() - started, 1)}, done.returncode


def _keep(document: dict[str, Any], *, name: str, size: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    about = {
        "size": size,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
    }
    path = RESULTS / f"{name}-{size}.json"
    path.write_text(json.dumps(document | {"about": about}, indent=2) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
