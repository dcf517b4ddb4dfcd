"""Taking people out of the files of a stored run.

A file is written again without their rows and put in the place of the old one, so a reader has the
one or the other, whole. Positions are found in the snapshot, which therefore comes last: a killed
attempt is simply done again.
"""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from django.conf import settings

from .backend import open_duckdb
from .hashes import overall_hash
from .mirror_files import fsync_path
from .results import run_folder

_SNAPSHOT = "snapshot.parquet"
_HASHES = "hashes.parquet"
_VERIFYING_SECONDS = 3600  # no verification writes for so long


@dataclass(frozen=True, slots=True)
class Remaining:
    """What the hashes of a run will be without some people: `before` over everybody in the file,
    `after` over those who remain, `gone` people."""

    before: str
    after: str
    gone: int


def stored_runs() -> Iterator[int]:
    """The numbers of all runs that have a folder, rising."""
    folder = run_folder(0).parent
    names = (path.name for path in folder.iterdir()) if folder.is_dir() else ()
    yield from sorted(int(name) for name in names if name.isdigit())


def unfinished_folders() -> list[tuple[Path, int]]:
    """What runs are writing, or wrote when they were killed, with the run's number."""
    parent = run_folder(0).parent
    found = ((path, path.name.split("-")[1]) for path in sorted(parent.glob(".writing-*")))
    return [(path, int(run)) for path, run in found if run.isdigit()]


def remove_left_over(folders: Iterable[Path]) -> None:
    """Remove these, and what killed verifications left."""
    parent = run_folder(0).parent
    for path in (*folders, *filter(_is_old, parent.glob(".verify-*"))):
        shutil.rmtree(path, ignore_errors=True)


def _is_old(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > _VERIFYING_SECONDS
    return False


def remaining_hashes(run_id: int, ordinals: Collection[int]) -> Remaining | None:
    """The hashes of the run before and after; None without a snapshot or hashes to look at."""
    names = _names(run_id, ordinals)
    path = run_folder(run_id) / _HASHES
    if names is None or not path.is_file():
        return None
    table = pq.read_table(path)
    ids, hashes = table["external_id"], np.asarray(table["hash"])
    kept = ~np.asarray(pc.is_in(ids, pa.array(sorted(names), pa.string())))
    before = overall_hash(ids, hashes)
    gone = int(len(kept) - kept.sum())
    after = overall_hash(ids.filter(pa.array(kept)), hashes[kept]) if gone else before
    return Remaining(before, after, gone)


def remove_from_files(run_id: int, ordinals: Collection[int]) -> int:
    """Write the run's files again without these people; how many files had one of them."""
    names = _names(run_id, ordinals)
    if names is None:
        return 0
    folder = run_folder(run_id)
    files = sorted(folder.rglob("*.parquet"), key=lambda path: path.name == _SNAPSHOT)
    written = sum(_without(path, ordinals, names) for path in files)
    if written:
        fsync_path(folder)
    _forget_columns(run_id)
    return written


def _names(run_id: int, ordinals: Collection[int]) -> frozenset[str] | None:
    """The ids under which the run knew these people; None without a snapshot."""
    path = run_folder(run_id) / _SNAPSHOT
    if not path.is_file():
        return None
    for left_over in path.parent.glob(".without-*"):
        left_over.unlink(missing_ok=True)
    wanted = pc.field("ordinal").isin(list(ordinals))
    found = pq.read_table(path, columns=["external_id"], filters=wanted)
    return frozenset(found["external_id"].to_pylist())


def _without(path: Path, ordinals: Collection[int], names: Collection[str]) -> bool:
    """Write one file again without these people's rows; whether it had any."""
    columns = pq.read_schema(path).names
    if "ordinal" in columns:
        gone = pc.field("ordinal").isin(list(ordinals))
        column = "ordinal"
    elif "external_id" in columns:
        gone = pc.field("external_id").isin(pa.array(sorted(names), pa.string()))
        column = "external_id"
    else:
        return False
    if not pq.read_table(path, columns=[column], filters=gone).num_rows:
        return False
    draft = path.with_name(f".without-{secrets.token_hex(6)}")
    try:
        _copy_rest(path, draft, column=column, gone=ordinals if column == "ordinal" else names)
        fsync_path(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def _copy_rest(
    path: Path, draft: Path, *, column: str, gone: Collection[int] | Collection[str]
) -> None:
    """Through DuckDB, which wrote the files: same types, a stream that needs little memory."""
    with open_duckdb() as duck:
        duck.register("gone", pa.table({"key": pa.array(sorted(gone))}))
        duck.execute("SET preserve_insertion_order = true")
        duck.execute(
            f"COPY (SELECT * FROM read_parquet('{_quoted(path)}') WHERE \"{column}\" NOT IN"
            f" (SELECT key FROM gone)) TO '{_quoted(draft)}' (FORMAT parquet, COMPRESSION zstd)"
        )


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _forget_columns(run_id: int) -> None:
    """The columns kept beside a snapshot are a cache of it; the next reader writes them again."""
    folder = Path(settings.VAR_DIR) / "cache" / "runs"
    for path in folder.glob(f"{int(run_id)}-*.arrow"):
        path.unlink(missing_ok=True)
