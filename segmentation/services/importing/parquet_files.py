"""Parquet columns as text, so that every source goes through the same readers of cells."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segmentation.domain.errors import Problem
from segmentation.domain.facts import FactKind

from .chunks import CHUNK_ROWS, Chunk, refused

types = pa.types


def column_problems(schema: pa.Schema, *, kind: FactKind) -> tuple[Problem, ...]:
    """Columns whose type can't hold such a cell: nested ones, and ids kept as floats."""
    problems = []
    for field in schema:
        plain = _plain(field.type)
        column = kind.column(field.name)
        is_id = column is not None and column.type == "id"
        if plain is None or (is_id and types.is_floating(plain)):
            message = f"Column {field.name} can't be read from Parquet type {field.type}."
            problems.append(Problem(f"/columns/{field.name}", "bad_column_type", message))
    return tuple(problems)


def _plain(type_: pa.DataType) -> pa.DataType | None:
    """The type of the single values, or None if they are no single values."""
    if types.is_dictionary(type_):
        return _plain(type_.value_type)
    if (
        types.is_nested(type_)
        or types.is_time(type_)
        or types.is_duration(type_)
        or types.is_interval(type_)
    ):
        return None
    return type_


def chunks(file: pq.ParquetFile, *, kind: FactKind) -> Iterator[Chunk]:
    """The rows of the file in chunks; the sequence number is the row's, from 1.

    Raises FileRefused `broken_parquet` where the file is damaged.
    """
    first = 1
    try:
        for batch in file.iter_batches(batch_size=CHUNK_ROWS):
            columns = {
                name: cell_texts(batch.column(index), is_date=_is_date(name, kind))
                for index, name in enumerate(batch.schema.names)
            }
            yield Chunk(np.arange(first, first + batch.num_rows, dtype=np.int64), columns)
            first += batch.num_rows
    except (pa.ArrowInvalid, OSError):
        raise refused("broken_parquet", f"The file is damaged behind row {first - 1}.") from None


def raw_rows(file: pq.ParquetFile, *, kind: FactKind) -> Iterator[tuple[int, str]]:
    """Each row's number and its cells as a JSON object of texts."""
    for chunk in chunks(file, kind=kind):
        cells = {name: array.to_pylist() for name, array in chunk.columns.items()}
        for index, number in enumerate(chunk.sequence.tolist()):
            row = {name: values[index] for name, values in cells.items()}
            yield number, json.dumps(row, ensure_ascii=False)


def _is_date(name: str, kind: FactKind) -> bool:
    column = kind.column(name)
    return column is not None and column.type == "date"


def cell_texts(array: pa.Array, *, is_date: bool = False) -> pa.StringArray:
    """A column as the texts a CSV file would have; NaN and empty texts are missing.

    Floats become their shortest decimal, timestamps with a zone UTC, without one wall times.
    `is_date`: a timestamp at midnight, as pandas keeps dates, becomes the date alone.
    """
    type_ = array.type
    if types.is_dictionary(type_):
        return cell_texts(array.dictionary_decode(), is_date=is_date)
    if types.is_timestamp(type_):
        texts = _timestamps(array, is_date=is_date)
    elif types.is_floating(type_):
        texts = _floats(array)
    elif types.is_decimal(type_):
        texts = _decimals(array)
    elif types.is_date(type_):
        texts = array.cast(pa.date32()).cast(pa.string())
    else:
        texts = array.cast(pa.string())
        texts.validate(full=True)  # files may claim to hold UTF-8 and not do so
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)


def _timestamps(array: pa.Array, *, is_date: bool) -> pa.StringArray:
    zoned = array.type.tz is not None
    micros = array.cast(pa.timestamp("us", "UTC" if zoned else None), safe=False)
    texts = micros.cast(pa.string())
    if is_date and not zoned:
        texts = pc.replace_substring_regex(texts, r" 00:00:00(\.0+)?$", "")
    return texts


def _floats(array: pa.Array) -> pa.StringArray:
    if types.is_float16(array.type):
        shortest = [str(value) for value in array.to_numpy(zero_copy_only=False)]
        texts = pc.if_else(array.is_valid(), pa.array(shortest, pa.string()), None)
    else:
        texts = array.cast(pa.string())
    texts = pc.if_else(pc.equal(texts, "nan"), pa.scalar(None, pa.string()), texts)
    texts = pc.replace_substring_regex(texts, r"\.0$", "")
    if pc.any(pc.match_substring(texts, "e")).as_py():
        return pa.array([_without_exponent(text) for text in texts.to_pylist()], pa.string())
    return texts


def _decimals(array: pa.Array) -> pa.StringArray:
    texts = array.cast(pa.string())
    if pc.any(pc.match_substring(texts, "E")).as_py():
        return pa.array([_without_exponent(text) for text in texts.to_pylist()], pa.string())
    return texts


def _without_exponent(text: str | None) -> str | None:
    return text if text is None or "e" not in text.lower() else format(Decimal(text), "f")
