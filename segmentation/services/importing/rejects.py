"""The rejects file: `line, reason_code, reason, raw`, one line per rejected row, in file order."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from pathlib import Path

from django.db import connection

from segmentation.domain.facts import STORED_REASONS

from .chunks import Refusal
from .files import FactFile

HEADER = ("line", "reason_code", "reason", "raw")


def rejections() -> Iterator[Refusal]:
    """All rejected rows of the import under way, by line; read in portions."""
    with connection.chunked_cursor() as cursor:
        cursor.execute("SELECT sequence, code, message FROM import_rejects ORDER BY sequence")
        for sequence, code, message in cursor:
            yield Refusal(sequence, code, message or STORED_REASONS[code])


class RejectsFile:
    """Written beside its place and moved there at the end, so it is whole or not there.

    `raw` is the text of the row as it was, so that a mended file can be made of it; it is not
    made harmless for spreadsheets.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        # Opened before the import begins: a folder that can't be written to is found out now.
        self._stream = self._draft.open("w", encoding="utf-8", newline="")

    def write(self, file: FactFile) -> None:
        """Write all rejections, with the texts of their rows from a second reading of the file."""
        writer = csv.writer(self._stream)
        writer.writerow(HEADER)
        wanted = rejections()
        refusal = next(wanted, None)
        if refusal is not None:
            for line, raw in file.raw():
                if line == refusal.sequence:
                    writer.writerow((line, refusal.code, refusal.message, raw))
                    refusal = next(wanted, None)
                    if refusal is None:
                        break
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def publish(self) -> None:
        """Move the file to its place."""
        self._stream.close()
        self._draft.replace(self._path)

    def discard(self) -> None:
        """Remove what was written, if it was not published."""
        self._stream.close()
        self._draft.unlink(missing_ok=True)
