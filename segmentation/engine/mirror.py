"""The mirror: all facts as Parquet delta files, one more per kind and month with each step.

A step takes the batches that have no generation yet, gives them the next integer and writes their
rows; replaced rows get a tombstone. Files are fsynced before the one row that publishes them
(`MirrorManifest`) is inserted, in the transaction that numbers the batches. A file that no manifest
names is left over from a killed step; `sweep` removes it.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection, transaction

from segmentation.engine import mirror_sql
from segmentation.engine.backend import open_duckdb
from segmentation.engine.mirror_files import MirrorFile, MirrorWriter, tzdata_version
from segmentation.engine.schema import MIRROR_KINDS
from segmentation.models import FactBatch, MirrorManifest

_LOCK = 7_305_001  # advisory lock: one mirror step at a time
_USE = 7_305_002  # shared while somebody reads files, so that none of them is swept away


def mirror_folder() -> Path:
    """Where the Parquet files lie."""
    return Path(settings.VAR_DIR) / "mirror"


def advance(*, now: datetime) -> MirrorManifest:
    """Bring the mirror up to every fact committed by now; returns the newest manifest.

    Without new facts it returns the manifest there is. When files are missing or damaged, or the
    zone rules changed, everything is written again from PostgreSQL with the same generations, so
    an old watermark means the same rows as before. Must not be called inside a transaction.
    """
    with _only_one():
        newest = MirrorManifest.objects.order_by("-generation").first()
        if newest is None or not _is_intact(newest):
            newest = _rebuild(now=now)
        return _step(newest, now=now)


@contextmanager
def pinned(*, now: datetime) -> Iterator[MirrorManifest]:
    """The newest manifest after `advance`, whose files stay while the block runs."""
    _lock("pg_advisory_lock_shared", _USE)
    try:
        yield advance(now=now)
    finally:
        # A lost connection has lost its locks, and the error that broke it is the one to be seen.
        with suppress(DatabaseError):
            _lock("pg_advisory_unlock_shared", _USE)


@contextmanager
def standing(watermark: int, *, now: datetime) -> Iterator[MirrorManifest]:
    """A manifest that has the facts up to `watermark`, whose files stay while the block runs.

    Nothing is written when the newest one will do, so that a page need not wait for new facts.
    Must not be called inside a transaction.
    """
    _lock("pg_advisory_lock_shared", _USE)
    try:
        newest = MirrorManifest.objects.order_by("-generation").first()
        if newest is None or newest.generation < watermark or not _is_intact(newest):
            newest = advance(now=now)
        yield newest
    finally:
        with suppress(DatabaseError):
            _lock("pg_advisory_unlock_shared", _USE)


def sweep() -> int:
    """Remove files that the newest manifest does not name; returns how many.

    While somebody reads the mirror nothing is removed.
    """
    with _only_one():
        if not _lock("pg_try_advisory_lock", _USE):
            return 0
        try:
            return _remove_unnamed()
        finally:
            _lock("pg_advisory_unlock", _USE)


def _remove_unnamed() -> int:
    newest = MirrorManifest.objects.order_by("-generation").first()
    named = {file["path"] for file in newest.files} if newest else set()
    folder = mirror_folder()
    removed = 0
    for path in folder.rglob("*.parquet"):
        if str(path.relative_to(folder)) not in named:
            path.unlink(missing_ok=True)
            removed += 1
    for path in folder.glob(".writing-*"):
        shutil.rmtree(path, ignore_errors=True)
    return removed


def compact(*, now: datetime, most_files: int = 8) -> MirrorManifest | None:
    """Merge the delta files of each kind and month that has more than `most_files`.

    Rows, tombstones and generations stay as they are, so every watermark still answers the same.
    The replaced files stay until `sweep`, for runs that pinned the manifest before. A mirror with
    missing or damaged files is left to `advance`.
    """
    with _only_one():
        newest = MirrorManifest.objects.order_by("-generation").first()
        if newest is None or not _is_intact(newest):
            return newest
        files = [MirrorFile(**file) for file in newest.files]
        groups: dict[tuple[str, str, str], list[MirrorFile]] = {}
        for file in files:
            groups.setdefault((file.kind, file.role, file.month), []).append(file)
        crowded = [group for group in groups.values() if len(group) > most_files]
        if not crowded:
            return newest
        writer = MirrorWriter(mirror_folder(), token=secrets.token_hex(6))
        merged = [writer.merge(group) for group in crowded]
        gone = {file.path for group in crowded for file in group}
        kept = [file for file in files if file.path not in gone]
        MirrorManifest.objects.filter(pk=newest.pk).update(
            files=[file.as_document() for file in [*kept, *merged]], created_at=now
        )
        newest.refresh_from_db()
        return newest


def remove_customers(
    ordinals: Collection[int], *, orders: Collection[int], now: datetime
) -> MirrorManifest | None:
    """Write every file again that holds rows of these customers, without them, at all generations.

    `orders` are the primary keys of their orders: refunds know no customer. Afterwards no
    watermark answers with them any more. PostgreSQL must have lost the rows before, or a rebuild
    brings them back. Safe to repeat. The old files stay until `sweep`, which a run that reads them
    holds up. Must not be called inside a transaction.
    """
    with _only_one():
        newest = MirrorManifest.objects.order_by("-generation").first()
        if newest is None or not ordinals:
            return newest
        gone = ", ".join(str(int(ordinal)) for ordinal in ordinals)
        refunded = ", ".join(str(int(order)) for order in orders) or "NULL"
        conditions = dict.fromkeys(MIRROR_KINDS, f"ordinal IN ({gone})") | {
            "refunds": f"order_id IN ({refunded})",
            "referrals": f"(ordinal IN ({gone}) OR referee IN ({gone}))",
        }
        files = [MirrorFile(**file) for file in newest.files]
        touched = {path for kind in conditions for path in _holding(files, kind, conditions[kind])}
        if not touched:
            return newest
        writer = MirrorWriter(mirror_folder(), token=secrets.token_hex(6))
        kept: list[MirrorFile] = []
        for number, file in enumerate(files):
            if file.path not in touched:
                kept.append(file)
                continue
            where = f"({conditions[file.kind]}) IS NOT TRUE"
            if (written := writer.keep(file, where=where, number=number)) is not None:
                kept.append(written)
        MirrorManifest.objects.filter(pk=newest.pk).update(
            files=[file.as_document() for file in kept], created_at=now
        )
        newest.refresh_from_db()
        return newest


def _holding(files: list[MirrorFile], kind: str, condition: str) -> list[str]:
    """The paths of the files of a kind with a row for which the condition holds."""
    folder = mirror_folder()
    paths = {str(folder / file.path): file.path for file in files
             if file.kind == kind and file.role == "rows" and file.rows}  # fmt: skip
    if not paths:
        return []
    with open_duckdb() as duck:
        rows = duck.execute(
            f"SELECT DISTINCT filename FROM read_parquet({list(paths)!r}, filename = true)"
            f" WHERE {condition}"
        ).fetchall()
    return [paths[name] for (name,) in rows]


@contextmanager
def _only_one() -> Iterator[None]:
    """A session lock, taken before the snapshot of the step so that the step sees all before it."""
    _lock("pg_advisory_lock", _LOCK)
    try:
        yield
    finally:
        with suppress(DatabaseError):
            _lock("pg_advisory_unlock", _LOCK)


def _lock(function: str, key: int) -> object:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [key])
        return cursor.fetchone()[0]


def _is_intact(manifest: MirrorManifest) -> bool:
    if manifest.tzdata_version != tzdata_version():
        return False
    folder = mirror_folder()
    for file in manifest.files:
        path = folder / file["path"]
        if not path.is_file() or path.stat().st_size != file["bytes"]:
            return False
    return True


@contextmanager
def _snapshot() -> Iterator[str]:
    """A repeatable-read transaction and the name under which a second connection shares it."""
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            cursor.execute("SELECT pg_export_snapshot()")
            name = cursor.fetchone()[0]
        yield name


def _step(newest: MirrorManifest, *, now: datetime) -> MirrorManifest:
    if not FactBatch.objects.filter(generation=None).exists():
        return newest
    token = secrets.token_hex(6)
    writer = MirrorWriter(mirror_folder(), token=token)
    with _snapshot() as snapshot:
        pending = list(FactBatch.objects.filter(generation=None).values_list("pk", "kind"))
        batches = sorted(pk for pk, _ in pending)
        kinds = {kind for _, kind in pending}
        generation = newest.generation + 1
        files = [MirrorFile(**file) for file in newest.files]
        for kind in _touched(kinds):
            queries = mirror_sql.step_queries(kind, batches=batches, generation=generation)
            files += writer.write(kind, queries, generation=generation, snapshot=snapshot)
        FactBatch.objects.filter(pk__in=batches).update(generation=generation)
        return _publish(files, generation=generation, now=now)


def _rebuild(*, now: datetime) -> MirrorManifest:
    """Every fact that has a generation, from PostgreSQL, into a fresh folder."""
    writer = MirrorWriter(mirror_folder(), token=secrets.token_hex(6))
    with _snapshot() as snapshot:
        generation = (
            FactBatch.objects.exclude(generation=None)
            .order_by("-generation")
            .values_list("generation", flat=True)
            .first()
            or 0
        )
        files: list[MirrorFile] = []
        if generation:
            for kind in MIRROR_KINDS:
                queries = mirror_sql.rebuild_queries(kind)
                files += writer.write(kind, queries, generation=generation, snapshot=snapshot)
        return _publish(files, generation=generation, now=now)


def _publish(files: list[MirrorFile], *, generation: int, now: datetime) -> MirrorManifest:
    documents: list[dict[str, Any]] = [file.as_document() for file in files]
    # Nobody reads a manifest again once a newer one is there: a run keeps its file list in memory.
    MirrorManifest.objects.all().delete()
    return MirrorManifest.objects.create(
        generation=generation, files=documents, tzdata_version=tzdata_version(), created_at=now
    )


def _touched(kinds: set[str]) -> list[str]:
    """The kinds a step must look at: lines carry their order's columns; any kind may make stubs."""
    touched = set(kinds)
    if "orders" in touched:
        touched.add("order_lines")
    if touched - {"order_lines", "refunds"}:
        touched.add("customers")
    if "customers" in touched:
        touched.add("tags")  # a customers file carries tag columns
    return [kind for kind in MIRROR_KINDS if kind in touched]
