"""Reading facts as Arrow and writing them as Parquet, month by month, fsynced."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from adbc_driver_postgresql import dbapi
from django.conf import settings
from django.db import connection
from psycopg.conninfo import make_conninfo

from .backend import open_duckdb
from .local_days import local_days
from .mirror_sql import MirrorQueries
from .schema import MIRROR_KINDS, TOMBSTONES, MirrorKind


def tzdata_version() -> str:
    """The version of the zone rules that local dates are made from."""
    return package_version("tzdata")


@dataclass(frozen=True, slots=True)
class MirrorFile:
    """One file of the manifest; `path` is relative to the mirror's folder."""

    kind: str
    role: str  # rows | tombstones
    month: str  # YYYY-MM of the occurred time, or "all"
    path: str
    generation: int
    rows: int
    bytes: int

    def as_document(self) -> dict[str, Any]:
        return asdict(self)


class MirrorWriter:
    """Writes files under a token of its own, so that nothing published is ever touched."""

    def __init__(self, folder: Path, *, token: str) -> None:
        self.folder = folder
        self.token = token
        folder.mkdir(parents=True, exist_ok=True)

    def write(
        self, kind: str, queries: MirrorQueries, *, generation: int, snapshot: str
    ) -> list[MirrorFile]:
        """The rows and tombstones of one kind as files, readable but not yet published."""
        spec = MIRROR_KINDS[kind]
        files: list[MirrorFile] = []
        with _shared_snapshot(snapshot) as cursor:
            cursor.execute(queries.rows)
            reader = cursor.fetch_record_batch()
            batches = (shaped(batch, spec) for batch in reader if batch.num_rows)
            source = pa.RecordBatchReader.from_batches(spec.schema, batches)
            files += self._partition(kind, "rows", source, spec.month, generation)
            cursor.execute(queries.tombstones)
            reader = cursor.fetch_record_batch()
            batches = (_cast(batch, TOMBSTONES) for batch in reader if batch.num_rows)
            source = pa.RecordBatchReader.from_batches(TOMBSTONES, batches)
            files += self._partition(kind, "tombstones", source, None, generation)
        return files

    def merge(self, files: Sequence[MirrorFile]) -> MirrorFile:
        """The rows of `files` (one kind, role and month) as one file."""
        first = files[0]
        paths = [str(self.folder / file.path) for file in files]
        target = self._target(first.kind, first.role, first.month, first.generation)
        with open_duckdb() as duck:
            duck.execute(
                f"COPY (SELECT * FROM read_parquet({paths!r})) TO '{_quoted(target)}'"
                " (FORMAT parquet, COMPRESSION zstd)"
            )
        return self._settled(
            target, first.kind, first.role, first.month, max(file.generation for file in files)
        )

    def keep(self, file: MirrorFile, *, where: str, number: int) -> MirrorFile | None:
        """The rows of `file` for which `where` holds, as a new file; None when there are none."""
        target = self._target(file.kind, file.role, file.month, file.generation, number)
        with open_duckdb() as duck:
            duck.execute(
                f"COPY (SELECT * FROM read_parquet('{_quoted(self.folder / file.path)}')"
                f" WHERE {where}) TO '{_quoted(target)}' (FORMAT parquet, COMPRESSION zstd)"
            )
        if not pq.read_metadata(target).num_rows:
            target.unlink()
            return None
        return self._settled(target, file.kind, file.role, file.month, file.generation)

    def _partition(
        self,
        kind: str,
        role: str,
        source: pa.RecordBatchReader,
        month: str | None,
        generation: int,
    ) -> list[MirrorFile]:
        scratch = self.folder / f".writing-{self.token}-{kind}-{role}"
        scratch.mkdir()
        expression = "'all'" if month is None else f"strftime(DATE '1970-01-01' + {month}, '%Y-%m')"
        with open_duckdb() as duck:
            duck.register("source", source)
            duck.execute(
                f"COPY (SELECT *, {expression} AS month FROM source) TO '{_quoted(scratch)}'"
                " (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (month))"
            )
        files: list[MirrorFile] = []
        for found in sorted(scratch.glob("month=*")):
            label = found.name.removeprefix("month=")
            for part in sorted(found.glob("*.parquet")):
                target = self._target(kind, role, label, generation, len(files))
                os.replace(part, target)
                files.append(self._settled(target, kind, role, label, generation))
        shutil.rmtree(scratch)
        return files

    def _target(self, kind: str, role: str, month: str, generation: int, number: int = 0) -> Path:
        folder = self.folder / kind / month
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{role}-{generation:08d}-{self.token}-{number}.parquet"

    def _settled(self, path: Path, kind: str, role: str, month: str, generation: int) -> MirrorFile:
        fsync_path(path)
        fsync_path(path.parent)
        return MirrorFile(
            kind=kind,
            role=role,
            month=month,
            path=str(path.relative_to(self.folder)),
            generation=generation,
            rows=pq.read_metadata(path).num_rows,
            bytes=path.stat().st_size,
        )


def fsync_path(path: Path) -> None:
    """Make a file, or a folder's entries, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _shared_snapshot:
    """An ADBC cursor in a transaction that sees exactly what the exporting one sees."""

    def __init__(self, snapshot: str) -> None:
        self.snapshot = snapshot

    def __enter__(self) -> Any:
        self.connection = dbapi.connect(conninfo())
        cursor = self.connection.cursor()
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{self.snapshot}'")
        return cursor

    def __exit__(self, *exc: object) -> None:
        self.connection.rollback()
        self.connection.close()


def conninfo() -> str:
    """The libpq connection string of Django's database."""
    given = connection.get_connection_params()
    names = ("host", "port", "dbname", "user", "password", "sslmode", "options")
    return make_conninfo(**{name: given[name] for name in names if given.get(name)})


def shaped(batch: pa.RecordBatch, spec: MirrorKind) -> pa.RecordBatch:
    """Times as microseconds, with their local day; every column in the mirror's type."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    for name, has_day in spec.times:
        instants = pc.cast(pc.cast(columns[name], pa.timestamp("us", "UTC")), pa.int64())
        columns[name] = instants
        if has_day:
            known = np.asarray(pc.fill_null(instants, 0))
            days = local_days(known, settings.TIME_ZONE)
            missing = np.asarray(pc.is_null(instants))
            columns[name.removesuffix("_at") + "_day"] = pa.array(days, pa.int32(), mask=missing)
    arrays = [pc.cast(columns[field.name], field.type) for field in spec.schema]
    return pa.record_batch(arrays, schema=spec.schema)


def _cast(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    return pa.record_batch([pc.cast(batch.column(f.name), f.type) for f in schema], schema=schema)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


__all__ = [
    "MirrorFile",
    "MirrorWriter",
    "conninfo",
    "fsync_path",
    "shaped",
    "tzdata_version",
]
