"""The three forms of fact files: CSV, CSV with gzip, Parquet. All are read as a stream.

A file is refused whole, with every problem found at once, before a row of it is recorded; a
problem that only shows later (bytes that are not UTF-8, a gzip that breaks off) refuses it too.
"""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from segmentation.domain.errors import NotFoundError, Problem
from segmentation.domain.facts import FactKind, ImportedGroup, header_problems

from . import csv_files, parquet_files
from .chunks import Chunk, FileRefused, refused


@dataclass(frozen=True, slots=True)
class FactFile:
    """An open file whose header is right.

    `chunks` reads it from the start; `raw` gives each row's number and text, for rejects;
    `position` is how many of its `size` bytes have been read.
    """

    header: tuple[str, ...]
    chunks: Callable[[], Iterator[Chunk]]
    raw: Callable[[], Iterator[tuple[int, str]]]
    position: Callable[[], int]
    size: int


@contextmanager
def open_facts(
    path: Path, *, kind: FactKind, groups: Mapping[str, ImportedGroup]
) -> Iterator[FactFile]:
    """Open and check a file. Raises FileRefused, also from within, and NotFoundError."""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise FileRefused(f"{path} can't be read: it is no ordinary file.")  # a pipe: once only
        source = path.open("rb")
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.") from None
    except OSError as error:
        raise FileRefused(f"{path} can't be read: {error.strerror}.") from None
    with source:
        opened = _open_parquet if path.suffix.lower() == ".parquet" else _open_csv
        try:
            yield opened(source, path, kind, groups)
        except UnicodeDecodeError:
            raise refused("not_utf8", f"{path.name} is not UTF-8.") from None
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise refused("broken_gzip", f"{path.name} is no whole gzip file.") from None


def _open_csv(
    source: BinaryIO, path: Path, kind: FactKind, groups: Mapping[str, ImportedGroup]
) -> FactFile:
    lower = path.name.lower()
    if not lower.endswith((".csv", ".csv.gz")):
        raise refused("unknown_format", "Files end in .csv, .csv.gz or .parquet.")

    is_packed = lower.endswith(".gz")

    def records() -> Generator[csv_files.Record, None, None]:
        # A second handle on the same open file: a file replaced meanwhile is not read.
        with os.fdopen(os.dup(source.fileno()), "rb") as plain:
            plain.seek(0)
            unpacked = gzip.GzipFile(fileobj=plain) if is_packed else plain
            with io.TextIOWrapper(unpacked, encoding="utf-8-sig", newline="") as text:
                yield from csv_files.records(text)

    def body() -> Iterator[csv_files.Record]:
        found = records()
        next(found)
        return found

    with closing(records()) as found:
        first = next(found, None)
    if first is None:
        raise refused("empty_file", f"{path.name} is empty.")
    if first.problem is not None:
        raise refused("bad_csv", f"The header of {path.name} is not CSV.")
    header = first.cells
    _refuse_problems(header_problems(header, kind=kind, groups=groups), path)
    return FactFile(
        header=tuple(header),
        chunks=lambda: csv_files.chunks(body(), header=header),
        raw=lambda: ((record.line, record.raw) for record in body()),
        position=lambda: os.lseek(source.fileno(), 0, os.SEEK_CUR),
        size=path.stat().st_size,
    )


def _open_parquet(
    source: BinaryIO, path: Path, kind: FactKind, groups: Mapping[str, ImportedGroup]
) -> FactFile:
    if path.stat().st_size == 0:
        raise refused("empty_file", f"{path.name} is empty.")
    try:
        file = pq.ParquetFile(source)
        names = file.schema_arrow.names
    except (pa.ArrowInvalid, OSError):
        raise refused("broken_parquet", f"{path.name} is no Parquet file.") from None
    problems = header_problems(names, kind=kind, groups=groups)
    problems += parquet_files.column_problems(file.schema_arrow, kind=kind)
    _refuse_problems(problems, path)
    return FactFile(
        header=tuple(names),
        chunks=lambda: parquet_files.chunks(file, kind=kind),
        raw=lambda: parquet_files.raw_rows(file, kind=kind),
        position=lambda: os.lseek(source.fileno(), 0, os.SEEK_CUR),
        size=path.stat().st_size,
    )


def _refuse_problems(problems: tuple[Problem, ...], path: Path) -> None:
    if problems:
        raise FileRefused(f"The columns of {path.name} can't be imported.", problems=problems)
