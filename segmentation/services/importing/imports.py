"""Import of one file of facts: all of it in one transaction, in memory that does not grow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from django.db import transaction

from segmentation.domain.errors import TierwiseError
from segmentation.domain.facts import FACT_KINDS, FactKind
from segmentation.models import FactBatch

from .files import FactFile, open_facts
from .groups import imported_groups
from .normalise import Reading, normalise
from .recording import Author, Counts, record_staged
from .rejects import RejectsFile
from .staging import Sent, copy_refusals, copy_rows, staging_tables
from .tag_cells import tag_columns


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an import is: rows read, and which part (0 to 1) of the file's bytes."""

    rows: int
    part: float


def fact_kind(name: str) -> FactKind:
    """The kind of that name; raises TierwiseError `unknown_kind`."""
    kind = FACT_KINDS.get(name)
    if kind is None:
        known = ", ".join(FACT_KINDS)
        raise TierwiseError(f"There is no kind {name}; write one of {known}.", code="unknown_kind")
    return kind


def import_file(
    path: Path,
    *,
    kind: str,
    actor: str,
    zone: ZoneInfo,
    base_currency: str,
    now: datetime,
    recorded_at: datetime,
    strict: bool = False,
    rejects: Path | None = None,
    source: FactBatch.Source = FactBatch.Source.IMPORT,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Counts:
    """Record the rows of a file; a rejected row never stops the others.

    `recorded_at` is the real clock's time, `now` the project's. With `rejects` the rejected rows
    are written there, also when there are none. Raises FileRefused, NotFoundError or
    `unknown_kind` before anything is recorded; killed at any time, nothing is recorded.
    """
    fact = fact_kind(kind)
    groups = imported_groups()
    reading = Reading(fact, zone, base_currency, groups)
    author = Author(source, actor, recorded_at, now, path.name)
    with open_facts(path, kind=fact, groups=groups) as file:
        rejects_file = _rejects_file(rejects, beside=path) if rejects is not None else None
        try:
            with transaction.atomic():
                counts = _record(file, reading, author, strict, rejects_file, on_progress)
            if rejects_file is not None:
                rejects_file.publish()
        finally:
            if rejects_file is not None:
                rejects_file.discard()
    return counts


def _record(
    file: FactFile,
    reading: Reading,
    author: Author,
    strict: bool,
    rejects_file: RejectsFile | None,
    on_progress: Callable[[Progress], None],
) -> Counts:
    sent = Sent(frozenset(file.header))
    tags = tag_columns(file.header)
    rows = 0
    with staging_tables(reading.kind, tag_columns=tags.values(), sent=sent):
        for chunk in file.chunks():
            staged = normalise(chunk, reading=reading)
            copy_rows(staged, sent=sent)
            copy_refusals(staged.refused)
            rows += chunk.read
            on_progress(Progress(rows, min(file.position() / max(file.size, 1), 1.0)))
        recorded = record_staged(reading, sent=sent, tag_columns=tags, strict=strict, author=author)
        if rejects_file is not None:
            rejects_file.write(file)
    return recorded.counts


def _rejects_file(path: Path, *, beside: Path) -> RejectsFile:
    try:
        # A device such as /dev/null would be replaced by the file, not written to.
        is_special = path.exists() and not path.is_file()
        if is_special or path.resolve() == beside.resolve():
            raise TierwiseError(f"{path} is no place for rejects.")
        return RejectsFile(path)
    except OSError as error:
        raise TierwiseError(f"{path} can't be written: {error.strerror}.") from None
