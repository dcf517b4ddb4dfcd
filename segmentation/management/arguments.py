"""Values of command-line arguments, and files that are complete or not there."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from segmentation.domain.errors import TierwiseError
from segmentation.services.instants import instant

__all__ = ["instant", "write_csv"]


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file whole or not at all; cells that a spreadsheet would run are escaped.

    What is no ordinary file, such as /dev/stdout, is refused: it would be replaced by one.
    """
    scratch = path.with_name(f".{path.name}.writing")
    try:
        if path.exists() and not path.is_file():
            raise TierwiseError(f"{path} can't be written: it is no ordinary file")
        with scratch.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(header)
            for row in rows:
                writer.writerow([_safe(cell) for cell in row])
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(scratch, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise TierwiseError(f"{path} can't be written: {error.strerror}") from error


def _safe(cell: object) -> object:
    if isinstance(cell, str) and cell[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{cell}"
    return "" if cell is None else cell
