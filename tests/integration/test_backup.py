"""A backup holds everything that must survive; a restore brings it back or changes nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

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
