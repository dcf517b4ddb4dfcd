"""From columns of text to columns of values, ready for the staging table.

Each column is checked at once by a pattern that accepts what is surely right and ordinary; the
cells it does not accept go one by one to the readers of `domain.facts_values`, which decide. The
first refused cell of a row, in the order of the kind's columns, is the row's reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segmentation.domain import facts_values as read
from segmentation.domain.facts import STATUSES, Column, FactKind, ImportedGroup
from segmentation.domain.facts_values import CellRefused

from . import wall_times
from .amounts import MoneyRules
from .chunks import Chunk, Mask, Refusal, RowRefusals
from .tag_cells import tag_arrays, tag_row_problems

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RATE = r"^[0-9]{1,9}(?:\.[0-9]{1,20})?$"


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meaning of a cell depends on, besides the cell."""

    kind: FactKind
    zone: ZoneInfo
    base_currency: str
    groups: Mapping[str, ImportedGroup]


@dataclass(frozen=True, slots=True)
class StagedRows:
    """Rows ready to copy: one array per staging column, `sequence` first; and the refused rows.

    `given` is cut to the same rows.
    """

    table: pa.Table
    given: Mapping[str, Mask] | None
    refused: tuple[Refusal, ...]


def normalise(chunk: Chunk, *, reading: Reading) -> StagedRows:
    """Read every cell of the chunk. `chunk` has all required columns of the kind."""
    refusals = RowRefusals(len(chunk.sequence))
    arrays: dict[str, pa.Array] = {"sequence": pa.array(chunk.sequence)}
    money = MoneyRules(
        chunk, kind=reading.kind, base_currency=reading.base_currency, refusals=refusals
    )
    for column in reading.kind.columns:
        if column.name not in chunk.columns:
            continue
        texts = chunk.columns[column.name]
        if column.required:
            missing = texts.is_null().to_numpy(zero_copy_only=False)
            if missing.any():
                refusals.add_all(missing, "missing", f"{column.name} is required.")
        arrays[column.name] = _values(column, texts, reading, refusals, money)
    if reading.kind.name == "orders":
        arrays |= money.finish(arrays)
    if reading.kind.name == "referrals":
        same = pc.fill_null(pc.equal(arrays["referrer_id"], arrays["referee_id"]), False)
        refusals.add_all(
            same.to_numpy(zero_copy_only=False),
            "self_referral",
            "Nobody refers themselves.",
        )
    if reading.kind.name == "tags":
        for index, code, message in tag_row_problems(
            arrays["group"], arrays["value"], groups=reading.groups
        ):
            refusals.add(index, code, message)
    if reading.kind.name == "customers":
        arrays |= tag_arrays(chunk.columns, groups=reading.groups, refuse=refusals.add)
    return _without_refused(chunk, arrays, refusals)


def _without_refused(
    chunk: Chunk, arrays: Mapping[str, pa.Array], refusals: RowRefusals
) -> StagedRows:
    table = pa.table(dict(arrays))
    given = chunk.given
    if refusals.reasons:
        table = table.filter(pa.array(refusals.good))
        if given is not None:
            given = {name: mask[refusals.good] for name, mask in given.items()}
    refused = [
        Refusal(int(chunk.sequence[index]), code, message)
        for index, (code, message) in refusals.reasons.items()
    ]
    return StagedRows(table, given, (*chunk.refused, *refused))


def _values(
    column: Column,
    texts: pa.StringArray,
    reading: Reading,
    refusals: RowRefusals,
    money: MoneyRules,
) -> pa.Array:
    name = column.name
    match column.type:
        case "id":
            fits = pc.less_equal(pc.utf8_length(texts), read.LONGEST_ID)
            sure = pc.and_(fits, _without_nul(texts))
            return _checked(name, texts, sure, read.read_id, refusals)
        case "text":
            return _checked(name, texts, _without_nul(texts), read.read_text, refusals)
        case "boolean":
            sure = pc.is_in(texts, value_set=pa.array(["true", "false"]))
            return _checked(name, texts, sure, read.read_boolean, refusals)
        case "status":
            sure = pc.is_in(texts, value_set=pa.array(STATUSES))
            statuses = _checked(name, texts, sure, read.read_status, refusals)
            return pc.fill_null(statuses, "completed")
        case "whole":
            sure = pc.match_substring_regex(texts, "^[0-9]{1,17}$")
            return _checked(name, texts, sure, lambda text: str(read.read_whole(text)), refusals)
        case "rate":
            sure = pc.and_(
                pc.match_substring_regex(texts, _RATE), pc.match_substring_regex(texts, "[1-9]")
            )
            return _checked(name, texts, sure, lambda text: f"{read.read_rate(text):f}", refusals)
        case "quantity":
            return money.read(column, texts, decimals=read.STORED_DECIMALS)
        case "money":
            return money.read(column, texts, decimals=None)
        case "currency":
            return _checked(name, texts, money.is_known(texts), read.read_currency, refusals)
        case "date":
            sure = wall_times.date_matches(texts)
            return _checked(name, texts, sure, lambda text: str(read.read_date(text)), refusals)
        case "time":
            return _times(name, texts, reading.zone, refusals)
        case "json":
            sure = pa.array(np.zeros(len(texts), bool))
            return _checked(name, texts, sure, read.read_properties, refusals)
        case "tags":
            raise ValueError("tag columns are read by tag_cells")


def _without_nul(texts: pa.StringArray) -> pa.BooleanArray:
    return pc.invert(pc.match_substring(texts, "\0"))


def _checked(
    name: str,
    texts: pa.StringArray,
    sure: pa.BooleanArray,
    reader: Callable[[str], object],
    refusals: RowRefusals,
) -> pa.StringArray:
    """The column as text for PostgreSQL; cells that are not `sure` are read one by one.

    A null in `sure` is a missing cell.
    """
    doubtful = pc.and_(pc.invert(pc.fill_null(sure, True)), texts.is_valid())
    if not pc.any(doubtful).as_py():
        return texts
    values = texts.to_pylist()
    for index in np.flatnonzero(doubtful.to_numpy(zero_copy_only=False)).tolist():
        try:
            values[index] = str(reader(values[index]))
        except CellRefused as refused:
            values[index] = None
            refusals.add(index, refused.code, f"{name}: {refused.message}")
    return pa.array(values, pa.string())


def _times(
    name: str, texts: pa.StringArray, zone: ZoneInfo, refusals: RowRefusals
) -> pa.TimestampArray:
    micros, found = wall_times.instants(texts, zone=zone)
    present = texts.is_valid().to_numpy(zero_copy_only=False)
    for index in np.flatnonzero(present & ~found).tolist():
        try:
            instant = read.read_time(texts[index].as_py(), zone=zone)
        except CellRefused as refused:
            refusals.add(index, refused.code, f"{name}: {refused.message}")
            continue
        micros[index], found[index] = (instant - _EPOCH) // _MICROSECOND, True
    return pa.array(micros, pa.timestamp("us", "UTC"), mask=~found)
