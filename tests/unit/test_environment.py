"""Readers of the environment: what can't be used is named, never a traceback."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from config import database, env
from config.backup import BackupError, back_up
from config.embedded_files import Account, noted_socket_folder, socket_folder
from config.supervisor import listen


@pytest.mark.parametrize(
    ("words", "is_needed"),
    [
        (["--version"], False),
        (["--help"], False),
        (["simulate", "gold", "-h"], False),
        (["simulate", "gold", "--version", "2"], True),
        (["check"], False),
        (["recompute"], True),
    ],
)
def test_a_version_is_also_an_argument(words: list[str], is_needed: bool) -> None:
    assert database.is_needed(["manage.py", *words]) is is_needed


@pytest.mark.parametrize("url", ["postgresql://u@host:port/name", "mysql://u@host/name", "x"])
def test_a_database_url_that_cannot_be_used(url: str) -> None:
    with pytest.raises(env.BadEnvironment, match="write postgresql://"):
        env.database(url)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_cannot_be(port: int) -> None:
    with pytest.raises(env.BadEnvironment, match=f"PORT={port}: write"):
        listen(port)


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(env.BadEnvironment, match=r"VAR_DIR=.*can't be made"):
        env.make_folder(tmp_path / "var" / "secrets")


def test_a_copied_cluster_has_a_socket_of_its_own(tmp_path: Path) -> None:
    """Below a long path the socket lies elsewhere; the note of it must not lead a copy there."""
    owner = Account("me", os.geteuid(), os.getegid())
    original, copy = tmp_path / ("x" * 90), tmp_path / ("y" * 90)
    original.mkdir()
    first = socket_folder(original, owner=owner)
    shutil.copytree(original, copy)
    assert noted_socket_folder(copy) is None
    second = socket_folder(copy, owner=owner)
    try:
        assert first != second
        assert socket_folder(original, owner=owner) == first == noted_socket_folder(original)
        assert socket_folder(copy, owner=owner) == second
    finally:
        first.rmdir()
        second.rmdir()


@pytest.mark.parametrize("place", ["", "/proc/self/backup"])
def test_a_backup_that_cannot_be_written(place: str, tmp_path: Path) -> None:
    target = Path(place) if place else tmp_path
    with pytest.raises(BackupError, match=str(target)):
        back_up(target, database={}, var_dir=tmp_path, now=datetime(2024, 1, 1, tzinfo=UTC))
    assert list(tmp_path.iterdir()) == []
