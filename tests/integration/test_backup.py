"""A backup holds everything that must survive; a restore brings it back or changes nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Manage = Callable[..., subprocess.CompletedProcess[str]]


def _customers(manage: Manage) -> int:
    done = manage(
        "shell",
        "-v0",
        "-c",
        "from segmentation.models import Customer; print(Customer.objects.count())",
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


@pytest.fixture
def facts(tmp_path: Path) -> Path:
    path = tmp_path / "customers.csv"
    path.write_text("customer_id,city\nC1,上海\nC2,\n")
    return path


def _import(manage: Manage, facts: Path) -> None:
    done = manage("import", "customers", str(facts), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["inserted"] == 2


def test_round_trip_into_another_installation(
    manage: Manage, other_manage: Manage, facts: Path, tmp_path: Path
) -> None:
    _import(manage, facts)
    file = tmp_path / "backup"
    assert manage("backup", str(file)).returncode == 0
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] != []
    done = other_manage("restore", str(file))
    assert done.returncode == 0, done.stderr
    assert _customers(other_manage) == 2
    # and once more over itself, which needs consent
    refused = other_manage("restore", str(file))
    assert refused.returncode == 1
    assert "--replace" in refused.stderr
    assert other_manage("restore", str(file), "--replace").returncode == 0
    assert _customers(other_manage) == 2


def test_broken_file_changes_nothing(manage: Manage, facts: Path, tmp_path: Path) -> None:
    _import(manage, facts)
    file = tmp_path / "backup"
    assert manage("backup", str(file)).returncode == 0
    file.write_bytes(file.read_bytes()[:-20_000])
    done = manage("restore", str(file), "--replace")
    assert done.returncode == 1
    assert "backup" in done.stderr
    assert _customers(manage) == 2


def test_restored_on_an_empty_machine_runs_have_the_same_hashes(
    manage: Manage, other_manage: Manage, tmp_path: Path
) -> None:
    """The drill of docs/deploy.md: what was published is derived again from the restored facts, and
    the next run starts from the restored memberships."""

    def told(where: Manage, *words: str) -> dict[str, Any]:
        done = where(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    definitions, orders, file = (tmp_path / name for name in ("d.json", "orders.csv", "backup"))
    spend = {"metric": "spend", "cmp": "gte", "value": "100"}
    definitions.write_text(
        json.dumps(
            {
                "metrics": [
                    {"key": "spend", "source": "orders", "unit": "money", "window": {"all": True},
                     "aggregate": {"fn": "sum", "field": "net_amount"}}
                ],
                "segments": [
                    {"key": "spenders", "purpose": "service", "visibility": "internal",
                     "rule": spend}
                ],
                "programs": [
                    {"key": "club", "version": {
                        "effective_from": "2026-01-01", "keep_for": {"months": 1},
                        "tiers": [{"key": "gold", "rank": 1, "rule": spend}]}}
                ],
            }
        )
    )  # fmt: skip
    rows = "".join(f"O{n},C{n},2026-01-10,{n}.00\n" for n in range(80, 120))
    orders.write_text(f"order_id,customer_id,placed_at,amount\n{rows}")
    told(manage, "apply", str(definitions))
    told(manage, "import", "orders", str(orders))
    run = told(manage, "recompute", "--as-of", "2026-01-15", "--wait")
    before = told(manage, "verify_run", str(run["run"]))
    members = told(manage, "membership", "club")
    assert manage("backup", str(file)).returncode == 0

    assert other_manage("restore", str(file)).returncode == 0
    after = told(other_manage, "verify_run", str(run["run"]))
    assert after == before
    assert after["equal"] is True
    assert told(other_manage, "membership", "club") == members
    again = told(other_manage, "recompute", "--as-of", "2026-01-15", "--wait")
    assert again["programs"] == run["programs"]
    verified = told(other_manage, "verify_run", str(again["run"]))
    assert (verified["equal"], verified["recorded_hash"]) == (True, before["recorded_hash"])


_ERASE = """
from config.clock import real_now
from segmentation.models import Customer, Job
from segmentation.services import privacy
from segmentation.services.jobs import execute_job
asked = privacy.request_erasure(Customer.objects.get(external_id="C1"), confirmation="C1",
    by=privacy.Bringer("operator", "admin"), now=real_now())
print(execute_job(Job.objects.get(pk=asked.details["job"]), clock=real_now).status)
"""
_LIVING = """
from segmentation.models import Customer
print(",".join(Customer.objects.filter(erased_at=None).values_list("external_id", flat=True)))
"""


def test_a_backup_from_before_an_erasure_brings_nobody_back(
    manage: Manage, facts: Path, tmp_path: Path
) -> None:
    """S11: the restore does the erasure again before anything is served."""
    _import(manage, facts)
    file = tmp_path / "backup"
    assert manage("backup", str(file)).returncode == 0
    erased = manage("shell", "-v0", "-c", _ERASE)
    assert erased.stdout.splitlines()[-1:] == ["done"], erased.stdout + erased.stderr
    assert manage("shell", "-v0", "-c", _LIVING).stdout.splitlines()[-1] == "C2"

    done = manage("restore", str(file), "--replace")
    assert done.returncode == 0, done.stdout + done.stderr
    assert manage("shell", "-v0", "-c", _LIVING).stdout.splitlines()[-1] == "C2"
    assert _customers(manage) == 2  # the empty row keeps its place
