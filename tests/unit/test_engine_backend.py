"""DuckDB as runs open it: what it spills to disk does not stay there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from segmentation.engine.backend import open_duckdb

_SPILL = (
    "CREATE OR REPLACE TEMP TABLE t AS SELECT hash(i) a, hash(i + 1) b FROM range(4000000) r(i)"
)
_KILLED = f"""
import os, sys, duckdb
given = {{"temp_directory": sys.argv[1], "memory_limit": "30MB", "threads": "1"}}
duck = duckdb.connect(config=given)
duck.execute({_SPILL!r})
os.kill(os.getpid(), 9)
"""


def test_what_a_killed_run_spilled_is_removed(settings: Any, tmp_path: Path) -> None:
    """Spilled rows are customers' data, gigabytes of them."""
    settings.VAR_DIR = str(tmp_path)
    settings.ENGINE_MEMORY = "30MB"
    settings.ENGINE_THREADS = 1
    spill = tmp_path / "spill"
    with open_duckdb():
        pass
    assert [path for path in spill.rglob("*") if path.is_file()] == []
    done = subprocess.run([sys.executable, "-c", _KILLED, str(spill)], check=False)
    assert done.returncode == -9
    left = {path for path in spill.rglob("*") if path.is_file()}
    assert sum(path.stat().st_size for path in left) > 10**6
    with open_duckdb() as duck:
        duck.execute(_SPILL)
        now = {path for path in spill.rglob("*") if path.is_file()}
        assert now
        assert not now & left
    assert [path for path in spill.rglob("*") if path.is_file()] == []
