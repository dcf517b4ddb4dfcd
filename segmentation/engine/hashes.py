"""One hash per customer over everything a run decided, and one over all customers.

Values are hashed as shown (rounded outside the backend), so two engines that agree on what people
see agree on the hash.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pandas.util import hash_array

from segmentation.domain.definitions import Catalog

from .plan.compiled import CompiledPlan
from .plan.metrics import denominator, numerator
from .values import rounded_units, unit_decimals

_MISSING = np.uint64(0x9E3779B97F4A7C15)
_INT64 = 2**63
_FACTOR = np.uint64(0x100000001B3)
_OF_BOOLEANS = hash_array(np.array([-1, 0, 1], dtype="i8"))
_AT_ONCE = 100_000


def customer_hashes(table: pa.Table, plan: CompiledPlan, currency: str) -> npt.NDArray[np.uint64]:
    """A 64-bit hash per row of a snapshot (any columns after `ordinal`; metrics as shown)."""
    catalog: Catalog = plan.catalog
    total = np.zeros(table.num_rows, dtype=np.uint64)
    done = {"ordinal"}
    for key, metric in catalog.metrics.items():
        name, below = numerator(key), denominator(key)
        done |= {name, below}
        units, missing = rounded_units(
            table[name],
            table[below] if below in table.column_names else None,
            shape=plan.shapes[key],
            decimals=unit_decimals(metric.unit, currency),
        )
        total = _mix(total, name, np.where(missing, _MISSING, _hashed_units(units)))
    for name in table.column_names:
        if name not in done:
            total = _mix(total, name, _hashed(table[name]))
    return total


def overall_hash(external_ids: pa.ChunkedArray, hashes: npt.NDArray[np.uint64]) -> str:
    """SHA-256 over every customer's id and hash, customers in the order of their ids (UTF-8)."""
    digest = hashlib.sha256()
    order = np.asarray(pc.sort_indices(external_ids))
    for start in range(0, len(order), _AT_ONCE):
        chosen = order[start : start + _AT_ONCE]
        ids = external_ids.take(pa.array(chosen)).to_pylist()
        words = hashes[chosen].astype(">u8").tobytes()
        digest.update(
            b"".join(
                b"%b\0%b" % (external_id.encode(), words[8 * place : 8 * place + 8])
                for place, external_id in enumerate(ids)
            )
        )
    return digest.hexdigest()


def _mix(
    total: npt.NDArray[np.uint64], name: str, hashed: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    salt = np.uint64(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big"))
    return (total * _FACTOR) ^ (hashed + salt)


def _hashed_units(units: npt.NDArray[np.object_ | np.int64]) -> npt.NDArray[np.uint64]:
    """A value's hash is its own: whether others beside it are too large for int64 changes none."""
    if units.dtype != object:
        return hash_array(units.astype(np.int64))
    fits = np.array([-_INT64 <= value < _INT64 for value in units], dtype=bool)
    texts = hash_array(np.array([str(value) for value in units], dtype=object))
    return np.where(fits, hash_array(np.where(fits, units, 0).astype(np.int64)), texts)


def _hashed(column: pa.ChunkedArray) -> npt.NDArray[np.uint64]:
    missing = np.asarray(pc.is_null(column))
    if pa.types.is_list(column.type):
        column = pc.binary_join(column, "\x1f")
    if pa.types.is_boolean(column.type):
        codes = np.asarray(pc.fill_null(pc.cast(column, pa.int8()), -1))
        values = _OF_BOOLEANS[codes + 1]
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        encoded = pc.fill_null(column, "").combine_chunks().dictionary_encode()
        words = hash_array(np.array(encoded.dictionary.to_pylist(), dtype=object))
        values = words[np.asarray(encoded.indices)] if len(words) else np.zeros(0, np.uint64)
    else:
        values = hash_array(np.asarray(pc.fill_null(pc.cast(column, pa.int64()), 0)))
    return np.where(missing, _MISSING, values)
