"""What readers hand on: some rows as columns of text, and the rows that are refused already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segmentation.domain.errors import Problem, TierwiseError

CHUNK_ROWS = 50_000

Mask = npt.NDArray[np.bool_]


class FileRefused(TierwiseError):
    """The file can't be imported; no row of it was recorded."""

    code = "invalid"


def refused(code: str, message: str) -> FileRefused:
    """The refusal of a whole file for one reason."""
    return FileRefused(message, problems=(Problem("", code, message),))


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that is not recorded: its sequence number, a stable code and a sentence."""

    sequence: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows.

    `sequence` (int64) is the line in a file, the index in an API call; it rises. `columns` are
    string arrays, null for an empty cell. `given` says per row which columns were sent; None when
    every column of `columns` was sent in every row. `refused` are rows that are in no array.
    """

    sequence: npt.NDArray[np.int64]
    columns: Mapping[str, pa.StringArray]
    given: Mapping[str, Mask] | None = None
    refused: tuple[Refusal, ...] = ()

    @property
    def read(self) -> int:
        return len(self.sequence) + len(self.refused)

    def is_given(self, name: str) -> Mask:
        """Per row: was this column sent?"""
        if name not in self.columns:
            return np.zeros(len(self.sequence), bool)
        if self.given is None:
            return np.ones(len(self.sequence), bool)
        return self.given[name]


def text_array(values: list[str | None] | tuple[str, ...]) -> pa.StringArray:
    """Texts as one array, empty texts as null."""
    array = pa.array(values, pa.string())
    return pa.compute.if_else(pa.compute.equal(array, ""), pa.scalar(None, pa.string()), array)


class RowRefusals:
    """The first reason of each row that has one."""

    def __init__(self, rows: int) -> None:
        self.good = np.ones(rows, bool)
        self.reasons: dict[int, tuple[str, str]] = {}

    def add(self, index: int, code: str, message: str) -> None:
        self.good[index] = False
        self.reasons.setdefault(index, (code, message))

    def add_all(self, mask: Mask, code: str, message: str) -> None:
        for index in np.flatnonzero(mask).tolist():
            self.add(index, code, message)
