"""The large benchmark's figures: the engine and a script written by hand agree on every one.

It is a third opinion on the engine besides the oracle: SQL by another hand over generated facts
with refunds of orders and of lines, customers without orders and days of a clock change.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_engine_and_hand_agree(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "bench/engine_run.py"],
        cwd=ROOT,
        env=os.environ
        | {
            "SIZE": "tiny",
            "BENCH_DIR": str(tmp_path / "bench"),
            "VAR_DIR": str(tmp_path / "var"),
            "TIERWISE_TESTING": "1",
            "SECRET_KEY": "of-a-test-and-nothing-else-0123456789",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [row["measure"] for row in answer["rows"]] == ["engine", "hand", "engine / hand"]
    (held,) = (tmp_path / "bench").glob("*/held.parquet")
    assert held.stat().st_size > 0
