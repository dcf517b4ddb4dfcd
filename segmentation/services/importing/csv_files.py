"""CSV records with their physical line and their raw text.

Unlike Python's reader alone, a quote that is never closed costs one line and not the rest of the
file: the line is refused and reading goes on behind it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import numpy as np

from .chunks import CHUNK_ROWS, Chunk, Refusal, text_array


class _Lines:
    """The lines of a stream, counted; those of the current record are kept, and can go back."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._returned: list[str] = []
        self.current: list[str] = []
        self.count = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._returned.pop() if self._returned else next(self._stream)
        self.count += 1
        self.current.append(line)
        return line

    def give_back_all_but_first(self) -> None:
        self._returned.extend(reversed(self.current[1:]))
        self.count -= len(self.current) - 1
        del self.current[1:]


@dataclass(frozen=True, slots=True)
class Record:
    """One record: the physical line it starts on and its cells, or why it has none."""

    line: int
    cells: list[str]
    problem: str | None
    raw: str


def records(stream: TextIO, *, keep_raw: bool = True) -> Iterator[Record]:
    """Every record of the stream, blank lines left out; `raw` is empty unless it is kept."""
    lines = _Lines(stream)
    reader = csv.reader(lines, strict=True)
    while True:
        problem = None
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            lines.give_back_all_but_first()
            cells, problem = [], str(error)
        first = lines.count - len(lines.current) + 1
        if cells or problem:
            raw = "".join(lines.current).rstrip("\r\n") if keep_raw else ""
            yield Record(first, cells, problem, raw)
        lines.current.clear()


def chunks(body: Iterator[Record], *, header: list[str]) -> Iterator[Chunk]:
    """The records behind the header, in chunks."""
    width = len(header)
    sequence: list[int] = []
    rows: list[list[str]] = []
    refused: list[Refusal] = []

    def chunk() -> Chunk:
        columns = zip(*rows, strict=True) if rows else ((),) * width
        arrays = {name: text_array(cells) for name, cells in zip(header, columns, strict=True)}
        return Chunk(np.array(sequence, np.int64), arrays, refused=tuple(refused))

    for record in body:
        if record.problem is not None:
            refused.append(Refusal(record.line, "bad_csv", f"Not CSV: {record.problem}."))
        elif len(record.cells) != width:
            message = f"{len(record.cells)} cells where the header has {width}."
            refused.append(Refusal(record.line, "column_count", message))
        else:
            sequence.append(record.line)
            rows.append(record.cells)
        if len(rows) + len(refused) >= CHUNK_ROWS:
            yield chunk()
            sequence, rows, refused = [], [], []
    if rows or refused:
        yield chunk()
