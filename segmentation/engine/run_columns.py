"""The columns of a run's snapshot, sorted by ordinal and mapped into memory.

A snapshot is made to be written and kept: compressed, in no order. Pages ask it the same few
questions again and again (how does this customer compare, what is this group like), so the first
one who asks writes the columns uncompressed beside it, as narrow as their values allow, and
everybody after that maps the file: no decompression, only the pages that are touched. The file is
a cache: it is written whole or not at all, the newest few are kept, and any of them can be removed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from django.conf import settings
from pyroaring import BitMap

from segmentation.domain.definitions import Catalog
from segmentation.models import Run

from .results import run_folder
from .run_columns_writing import Array, write_columns

_FORMAT = "1"


@dataclass(frozen=True, slots=True)
class MetricColumn:
    """One metric of every customer, by position.

    `order` compares like the exact values do, `units` is the value as shown times 10**decimals.
    A missing value is greater than all others in both, or not a number.
    """

    order: Array
    units: Array
    decimals: int
    has_missing: bool

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Who has a value."""
        if not self.has_missing:
            return np.ones(len(self.units), bool)
        if self.units.dtype.kind == "f":
            return ~np.isnan(self.units)
        return np.not_equal(self.units, np.iinfo(self.units.dtype).max)


@dataclass(frozen=True, slots=True)
class ClassColumn:
    """One class of every customer, by position: `codes` counts in `values`, -1 is none."""

    values: tuple[str, ...]
    codes: Array


@dataclass(frozen=True, slots=True)
class RunColumns:
    """An open file of columns. Positions are those of `ordinals`, which rises."""

    ordinals: Array
    _columns: Mapping[str, Array]
    _facts: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.ordinals)

    def position(self, ordinal: int) -> int | None:
        """Where a customer stands; None when the run did not know the customer."""
        at = int(np.searchsorted(self.ordinals, ordinal))
        return at if at < len(self) and int(self.ordinals[at]) == ordinal else None

    def positions(self, members: BitMap) -> npt.NDArray[np.intp]:
        """Where the members stand, rising; members the run did not know are left out."""
        wanted = (
            np.frombuffer(members.to_array(), dtype=np.uint32) if members else np.zeros(0, "u4")
        )
        at = np.searchsorted(self.ordinals, wanted)
        at = np.minimum(at, max(len(self) - 1, 0))
        return at[self.ordinals[at] == wanted] if len(self) else np.zeros(0, np.intp)

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(self._facts["metrics"])

    @property
    def layerings(self) -> tuple[str, ...]:
        return tuple(self._facts["layerings"])

    @property
    def tag_groups(self) -> tuple[str, ...]:
        return tuple(self._facts["tags"])

    def metric(self, key: str) -> MetricColumn:
        facts = self._facts["metrics"][key]
        units = self._columns[f"u:{key}"]
        order = self._columns[f"o:{key}"] if facts["apart"] else units
        return MetricColumn(order, units, facts["decimals"], facts["missing"])

    def layer(self, key: str) -> ClassColumn:
        return ClassColumn(tuple(self._facts["layerings"][key]), self._columns[f"l:{key}"])

    def tag(self, group: str) -> tuple[ClassColumn, ...]:
        """One column for an exclusive group, one for each value (codes 0 or -1) for another."""
        facts = self._facts["tags"][group]
        if facts["exclusive"]:
            return (ClassColumn(tuple(facts["values"]), self._columns[f"t:{group}"]),)
        return tuple(
            ClassColumn((value,), self._columns[f"t:{group}={position}"])
            for position, value in enumerate(facts["values"])
        )


def open_columns(run: Run, catalog: Catalog, *, currency: str) -> RunColumns:
    """The run's columns, written first when nobody has. `catalog` is the run's.

    Raises FileNotFoundError when the run's files are gone.
    """
    path = _path(run)
    try:
        return _map(path)
    except (FileNotFoundError, pa.ArrowInvalid):
        snapshot = run_folder(run.pk) / "snapshot.parquet"
        write_columns(snapshot, catalog, currency=currency, path=path)
    return _map(path)


def _path(run: Run) -> Path:
    # The hash tells a run from one of the same number before a restore.
    name = f"{run.pk}-{run.recorded_hash[:16]}-{_FORMAT}.arrow"
    return Path(settings.VAR_DIR) / "cache" / "runs" / name


def _map(path: Path) -> RunColumns:
    reader = pa.ipc.open_file(pa.memory_map(str(path)))
    facts = json.loads((reader.schema.metadata or {})[b"facts"])
    batch = reader.get_batch(0)
    columns = {
        name: batch.column(position).to_numpy(zero_copy_only=True)
        for position, name in enumerate(reader.schema.names)
    }
    return RunColumns(columns.pop("ordinal"), columns, facts)
