"""Finding a person in the files of jobs: exports, rejects, uploads, whatever form they have.

Files are read decoded: the parts of a workbook, what gzip packed, the texts of a Parquet file. A
file is named rather too often than too seldom: a text that only happens to hold the id counts.
"""

from __future__ import annotations

import gzip
import json
import re
import zipfile
import zlib
from collections.abc import Collection, Iterator
from html import escape
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from .jobs import job_folder

_CHUNK = 1 << 20
_ENCODINGS = ("utf-8", "gb18030", "utf-16-le")
_WORD = "0-9A-Za-z"


def jobs_naming(names: Collection[str]) -> list[int]:
    """The jobs with a file in which one of the names stands as a word."""
    folder = job_folder(0).parent
    if not names or not folder.is_dir():
        return []
    pattern = _pattern(names)
    found = []
    for job in sorted(folder.iterdir(), key=lambda path: path.name):
        if job.name.isdigit() and any(_names(path, pattern) for path in _files(job)):
            found.append(int(job.name))
    return found


def holds_name(path: Path, names: Collection[str]) -> bool:
    """Whether one of the names stands in this file; True when it can't be read to the end."""
    return _names(path, _pattern(names))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _pattern(names: Collection[str]) -> re.Pattern[bytes]:
    """Every way in which a file may write one of the names. Ends that are letters or digits must
    not go on: most ids are numbers, and part of other numbers."""
    written: set[bytes] = set()
    for name in names:
        texts = {json.dumps(name, ensure_ascii=is_plain)[1:-1] for is_plain in (True, False)}
        forms = {name, *texts, escape(name), escape(name, quote=False), name.replace('"', '""')}
        for form in forms:
            for encoding in _ENCODINGS:
                text = re.escape(form.encode(encoding))
                if encoding != "utf-16-le":
                    before = f"(?<![{_WORD}])" if _is_word(form[0]) else ""
                    after = f"(?![{_WORD}])" if _is_word(form[-1]) else ""
                    text = before.encode() + text + after.encode()
                written.add(text)
    return re.compile(b"|".join(sorted(written)))


def _is_word(sign: str) -> bool:
    return sign.isascii() and sign.isalnum()


def _names(path: Path, pattern: re.Pattern[bytes]) -> bool:
    try:
        with path.open("rb") as file:
            return any(pattern.search(text) for text in _texts(file))
    except FileNotFoundError:  # its job was cleaned up meanwhile
        return False
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, pa.ArrowException):
        return True  # what can't be read can't be cleared


def _texts(file: IO[bytes]) -> Iterator[bytes]:
    start = file.read(4)
    file.seek(0)
    if start.startswith(b"PK"):
        with zipfile.ZipFile(file) as archive:
            for member in archive.namelist():
                with archive.open(member) as part:
                    yield from _pieces(part)
    elif start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield from _pieces(unpacked)
    elif start == b"PAR1":
        for batch in pq.ParquetFile(file).iter_batches():
            yield json.dumps(batch.to_pylist(), default=str, ensure_ascii=False).encode()
    else:
        yield from _pieces(file)


def _pieces(file: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    """A stream in pieces that overlap, so that no name falls between two."""
    tail = b""
    while chunk := file.read(_CHUNK):
        yield tail + chunk
        tail = chunk[-4096:]
