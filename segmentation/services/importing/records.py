"""Facts from the API: the rows of one call, each with its own result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import numpy as np
from django.db import transaction

from segmentation.domain.facts import FactKind, tag_group_of
from segmentation.domain.facts_values import CellRefused
from segmentation.models import FactBatch

from .chunks import Chunk, Refusal, text_array
from .groups import imported_groups
from .imports import fact_kind
from .normalise import Reading, normalise
from .recording import Author, Counts, lock_tags, record_staged
from .rejects import rejections
from .rows import Cells, row_cells
from .staging import Sent, copy_refusals, copy_rows, staging_tables
from .tag_cells import tag_columns

Status = Literal["inserted", "updated", "unchanged", "rejected"]


@dataclass(frozen=True, slots=True)
class RowResult:
    """What became of one row. `id` is the row's key as sent (`order_id/line_no` for lines), None
    when it has none; `code` and `message` are None unless it was rejected."""

    index: int
    id: str | None
    status: Status
    code: str | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class RowResults:
    """The results in the order of the rows, and their counts."""

    results: tuple[RowResult, ...]
    counts: Counts


class _NotAllGood(Exception):
    """Rolls an atomic call back."""


def record_rows(
    kind: str,
    rows: Sequence[Mapping[str, object]],
    *,
    actor: str,
    zone: ZoneInfo,
    base_currency: str,
    now: datetime,
    recorded_at: datetime,
    atomic: bool = False,
    strict: bool = False,
    source: FactBatch.Source = FactBatch.Source.API,
) -> RowResults:
    """Record rows by the same rules as a file; a key that is not sent leaves what is stored.

    Numbers are texts, ints or Decimals, never floats. With `atomic` nothing is recorded when a
    row is rejected: the others are then rejected with code `not_recorded`. Raises `unknown_kind`.
    """
    fact = fact_kind(kind)
    author = Author(source, actor, recorded_at, now)
    outcome: dict[int, Status | Refusal] = {}
    good: list[tuple[int, Cells]] = []
    try:
        with transaction.atomic():
            if _have_tags(rows, kind=fact):
                lock_tags()  # before the groups are read, and before the lock of any part
            reading = Reading(fact, zone, base_currency, imported_groups())
            for index, row in enumerate(rows):
                try:
                    good.append((index, row_cells(row, kind=fact, groups=reading.groups)))
                except CellRefused as refused:
                    outcome[index] = Refusal(index, refused.code, refused.message)
            bad = tuple(refusal for refusal in outcome.values() if isinstance(refusal, Refusal))
            for part in _parts(good, kind=fact):
                outcome |= _record(part, bad, reading, author, strict)
                bad = ()
            if atomic and any(isinstance(result, Refusal) for result in outcome.values()):
                raise _NotAllGood
    except _NotAllGood:
        sentence = "Not recorded, because another row of this call was rejected."
        for index in range(len(rows)):
            if not isinstance(outcome[index], Refusal):
                outcome[index] = Refusal(index, "not_recorded", sentence)
    results = tuple(
        _result(index, _id(row, fact), outcome[index]) for index, row in enumerate(rows)
    )
    return RowResults(results, _counts(fact.name, results))


def _have_tags(rows: Sequence[Mapping[str, object]], *, kind: FactKind) -> bool:
    return kind.name == "tags" or any(
        tag_group_of(str(name)) is not None
        for row in rows
        if isinstance(row, Mapping)
        for name in row
    )


def _parts(good: list[tuple[int, Cells]], *, kind: FactKind) -> Iterator[list[tuple[int, Cells]]]:
    """The rows in as few parts as possible, such that rows of one key in one part sent the same
    columns; only so can the last of them stand for all."""
    part: list[tuple[int, Cells]] = []
    sent: dict[tuple[str | None, ...], frozenset[str]] = {}
    for index, cells in good:
        key = tuple(cells.get(name) for name in kind.key)
        columns = frozenset(cells)
        if sent.setdefault(key, columns) != columns:
            yield part
            part, sent = [], {key: columns}
        part.append((index, cells))
    if part:
        yield part


def _record(
    part: list[tuple[int, Cells]],
    bad: tuple[Refusal, ...],
    reading: Reading,
    author: Author,
    strict: bool,
) -> dict[int, Status | Refusal]:
    column_sets = {frozenset(cells) for _, cells in part}
    required = {column.name for column in reading.kind.columns if column.required}
    names = sorted(frozenset.union(*column_sets) | required)
    always = frozenset.intersection(*column_sets) | required
    sent = Sent(always, tuple(name for name in names if name not in always))
    tags = tag_columns(tuple(names))
    chunk = Chunk(
        sequence=np.array([index for index, _ in part], np.int64),
        columns={name: text_array([cells.get(name) for _, cells in part]) for name in names},
        given={name: np.array([name in cells for _, cells in part]) for name in names},
        refused=bad,
    )
    with staging_tables(reading.kind, tag_columns=tags.values(), sent=sent):
        staged = normalise(chunk, reading=reading)
        copy_rows(staged, sent=sent)
        copy_refusals(staged.refused)
        recorded = record_staged(
            reading, sent=sent, tag_columns=tags, strict=strict, author=author, want_rows=True
        )
        rejected = {refusal.sequence: refusal for refusal in rejections()}
    return {**recorded.by_row, **rejected}  # type: ignore[dict-item]


def _id(row: Mapping[str, object], kind: FactKind) -> str | None:
    parts = [row.get(name) for name in kind.key] if isinstance(row, Mapping) else [None]
    if any(part is None or part == "" for part in parts):
        return None
    return "/".join(map(str, parts)).encode(errors="backslashreplace").decode()


def _result(index: int, id_: str | None, outcome: Status | Refusal) -> RowResult:
    if isinstance(outcome, Refusal):
        return RowResult(index, id_, "rejected", outcome.code, outcome.message)
    return RowResult(index, id_, outcome)


def _counts(kind: str, results: Sequence[RowResult]) -> Counts:
    numbers = dict.fromkeys(("inserted", "unchanged", "updated", "rejected"), 0)
    for result in results:
        numbers[result.status] += 1
    return Counts(kind=kind, read=len(results), **numbers)
