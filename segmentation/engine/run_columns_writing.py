"""Writing a run's columns: as narrow as their values allow, comparing like the exact values."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segmentation.domain.definitions import Catalog

from .mirror_files import fsync_path
from .plan.formulas import metric_shapes
from .plan.metrics import denominator, numerator
from .plan.rules import layer_column, tag_column, tag_flag
from .values import rounded_units, unit_decimals

KEPT = 4  # files of this many runs stay
_EXACT = 2**53  # integers below it are floats
_WIDTHS = (np.int8, np.int16, np.int32, np.int64)

Array = npt.NDArray[Any]


def write_columns(snapshot_file: Path, catalog: Catalog, *, currency: str, path: Path) -> None:
    """Write the columns of a snapshot to `path`, whole or not at all, and forget the oldest files.

    Raises FileNotFoundError without a snapshot.
    """
    snapshot = pq.ParquetFile(snapshot_file)
    ordinals = np.asarray(snapshot.read(["ordinal"])["ordinal"]).astype(np.uint32)
    by_ordinal = np.argsort(ordinals, kind="stable")
    facts: dict[str, Any] = {"metrics": {}, "layerings": {}, "tags": {}}
    columns: dict[str, Array] = {"ordinal": ordinals[by_ordinal]}
    reader = _Reader(snapshot, by_ordinal)
    for key in catalog.metrics:
        columns |= dict(_metric(reader, catalog, key, currency, facts["metrics"]))
    for key, layering in catalog.layerings.items():
        values, columns[f"l:{key}"] = _classes(reader.read(layer_column(key)), layering.layers)
        facts["layerings"][key] = list(values)
    for key in catalog.tag_groups:
        columns |= dict(_tag(reader, catalog, key, facts["tags"]))
    batch = pa.RecordBatch.from_arrays(
        [pa.array(np.ascontiguousarray(column)) for column in columns.values()],
        schema=pa.schema(
            [(name, pa.from_numpy_dtype(column.dtype)) for name, column in columns.items()],
            metadata={"facts": json.dumps(facts)},
        ),
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".writing-{secrets.token_hex(6)}")
    try:
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        fsync_path(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    _forget_old(path)


def _forget_old(path: Path) -> None:
    """Remove all but the newest files; whoever has one mapped keeps it."""
    files = sorted(path.parent.glob("*.arrow"), key=_made_at)
    for old in files[:-KEPT]:
        if old != path:
            old.unlink(missing_ok=True)


def _made_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # somebody else is removing it
        return 0.0


@dataclass(frozen=True, slots=True)
class _Reader:
    """Columns of a snapshot in the order of ordinals."""

    snapshot: pq.ParquetFile
    by_ordinal: npt.NDArray[np.intp]

    def read(self, name: str) -> pa.ChunkedArray:
        return self.snapshot.read([name])[name].take(pa.array(self.by_ordinal))


def _metric(
    reader: _Reader, catalog: Catalog, key: str, currency: str, facts: dict[str, Any]
) -> Iterator[tuple[str, Array]]:
    shape = metric_shapes(catalog.metrics)[key]
    decimals = unit_decimals(catalog.metrics[key].unit, currency)
    top = whole_numbers(reader.read(numerator(key)))
    below = whole_numbers(reader.read(denominator(key))) if shape.is_fraction else None
    units, missing = rounded_units(top, below, shape=shape, decimals=decimals)
    has_missing = bool(missing.any())
    order = _exact_order(top, below, units, missing, shape.scale, decimals)
    facts[key] = {"decimals": decimals, "missing": has_missing, "apart": order is not None}
    yield f"u:{key}", narrow(units, missing)
    if order is not None:
        yield f"o:{key}", order


def whole_numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of whole numbers that a backend wrote as floats, as the integers they are."""
    return pc.cast(column, pa.int64()) if pa.types.is_floating(column.type) else column


def _exact_order(
    top: pa.ChunkedArray,
    below: pa.ChunkedArray | None,
    units: Array,
    missing: npt.NDArray[np.bool_],
    scale: int,
    decimals: int,
) -> Array | None:
    """A column that compares like the exact values; None when the values as shown do.

    They do for whole numbers that rounding did not change. Fractions compare like floats while
    they are small enough, otherwise by their rank among all, found with exact arithmetic.
    """
    if below is None and units.dtype != object and not _was_rounded(top, scale, decimals):
        return None
    up, down = _objects_or_ints(top), _objects_or_ints(below) if below is not None else None
    if down is None:
        if up.dtype != object:
            return narrow(up, missing)
        return _ranks(
            [None if gone else Fraction(int(n)) for n, gone in zip(up, missing, strict=True)]
        )
    down = np.where(missing, 1, down)
    if up.dtype != object and down.dtype != object and max(_largest(up), _largest(down)) < _EXACT:
        order = up.astype(np.float64) / down.astype(np.float64)
        if _tells_apart(order, up, down):
            order[missing] = np.nan
            return order
    return _ranks(
        [
            None if gone else Fraction(int(n), int(d))
            for n, d, gone in zip(up, down, missing, strict=True)
        ]
    )


def _tells_apart(order: Array, up: Array, down: Array) -> bool:
    """Whether floats are equal only where the fractions are.

    Division rounds correctly, so floats never stand in the wrong order. The cross products of
    fractions with equal floats differ by less than 2**54, so they are equal when they are so
    modulo 2**64: integers that wrap around tell exactly.
    """
    if _largest(up) * _largest(down) < _EXACT // 2:
        return True  # different fractions are further apart than floats
    rising = np.argsort(order)
    tied = np.flatnonzero(order[rising[1:]] == order[rising[:-1]])
    left, right = rising[:-1][tied], rising[1:][tied]
    return bool(np.all(up[left] * down[right] == up[right] * down[left]))


def _was_rounded(top: pa.ChunkedArray, scale: int, decimals: int) -> bool:
    """Whether some value has more decimals than are shown."""
    if 10**decimals % scale == 0:
        return False
    step = scale // np.gcd(scale, 10**decimals)
    return bool(np.any(_objects_or_ints(top) % int(step)))


def _objects_or_ints(column: pa.ChunkedArray) -> Array:
    """int64, or Python integers where a value needs them; 0 for a missing one."""
    if pa.types.is_decimal(column.type):
        try:
            column = pc.cast(column, pa.int64())
        except pa.ArrowInvalid:
            found = [0 if value is None else int(value) for value in column.to_pylist()]
            return np.array(found, dtype=object)
    return np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0))


def _largest(values: Array) -> int:
    return max(abs(int(values.max())), abs(int(values.min()))) if len(values) else 0


def _ranks(values: list[Fraction | None]) -> Array:
    """Dense ranks; a missing value has the greatest."""
    rising = {
        value: rank for rank, value in enumerate(sorted({v for v in values if v is not None}))
    }
    last = np.iinfo(np.int32).max
    return np.array([last if v is None else rising[v] for v in values], dtype=np.int32)


def narrow(units: Array, missing: npt.NDArray[np.bool_]) -> Array:
    """The narrowest integers that hold the values and, above them all, the missing ones; floats
    for values beyond 64 bits."""
    present = units[~missing] if missing.any() else units
    low, high = (int(present.min()), int(present.max())) if len(present) else (0, 0)
    for width in _WIDTHS:
        limits = np.iinfo(width)
        if limits.min <= low and high < limits.max:
            return np.where(missing, limits.max, units).astype(width)
    # Nothing real is that large; only what is shown is not exact then, comparisons still are.
    wide = units.astype(np.float64)
    wide[missing] = np.nan
    return wide


def _classes(column: pa.ChunkedArray, declared: tuple[str, ...]) -> tuple[tuple[str, ...], Array]:
    """The classes there are, and for each customer the position of its class; -1 is none."""
    encoded = column.combine_chunks().dictionary_encode()
    found = encoded.dictionary.to_pylist()
    values = (*declared, *sorted(set(found) - set(declared) - {None}))
    code = {value: position for position, value in enumerate(values)}
    recoded = np.array([code.get(value, -1) for value in found] or [-1], dtype=np.int32)
    indices = np.asarray(pc.fill_null(encoded.indices, -1)).astype(np.int64)
    codes = np.where(indices < 0, -1, recoded[np.maximum(indices, 0)])
    return values, codes.astype(np.int8 if len(values) < 127 else np.int32)


def _tag(
    reader: _Reader, catalog: Catalog, key: str, facts: dict[str, Any]
) -> Iterator[tuple[str, Array]]:
    group = catalog.tag_groups[key]
    if group.exclusive:
        found, codes = _classes(reader.read(tag_column(key)), group.values)
        facts[key] = {"exclusive": True, "values": list(found)}
        yield f"t:{key}", codes
        return
    if group.is_derived:
        values = list(group.values)
        flags = [np.asarray(pc.fill_null(reader.read(tag_flag(key, v)), False)) for v in values]
    else:
        values, flags = _listed(reader.read(tag_column(key)), group.values)
    facts[key] = {"exclusive": False, "values": values}
    for position, flag in enumerate(flags):
        yield f"t:{key}={position}", np.where(flag, 0, -1).astype(np.int8)


def _listed(
    column: pa.ChunkedArray, declared: tuple[str, ...]
) -> tuple[list[str], list[npt.NDArray[np.bool_]]]:
    """Who has each value of a column of lists."""
    whole = column.combine_chunks()
    parents = np.asarray(pc.list_parent_indices(whole))
    each = np.asarray(pc.list_flatten(whole).to_pandas(), dtype=object)
    values = [*declared, *sorted(set(each) - set(declared))]
    flags = []
    for value in values:
        flag = np.zeros(len(whole), bool)
        flag[parents[each == value]] = True
        flags.append(flag)
    return values, flags
