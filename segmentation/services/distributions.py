"""How one metric is spread over everybody a person may see, and its mean in each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from django.conf import settings
from pyroaring import BitMap

from segmentation.analysis.group_figures import (
    bucket_counts,
    decimal_value,
    mean_value,
    rounded,
    share_of,
    summary,
)
from segmentation.domain.definitions import Label, Unit
from segmentation.domain.values import RATIO_DECIMALS
from segmentation.engine.run_columns import MetricColumn, RunColumns, open_columns
from segmentation.models import Run
from segmentation.permissions import Viewer, sight

from .portrait_results import Bucket, Figures
from .run_catalogs import run_catalog

_MEAN_DECIMALS = 2  # of counts and days
_BUCKETS = 10
_FLOAT_EXACT = 2**53  # whole numbers below it are exact as floats
_TAIL = 95  # per cent of the values are spread over the buckets
Positions = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class LayerFigures:
    """Customers of a layer, how many of them have a value, and its mean; in the metric's unit."""

    layer: str
    size: int
    known: int
    mean: Decimal | None


@dataclass(frozen=True, slots=True)
class LayeringFigures:
    key: str
    label: Label
    layers: tuple[LayerFigures, ...]


@dataclass(frozen=True, slots=True)
class Distribution:
    """`base`: the customers looked at. Buckets are equally wide and begin at round values, the
    last one holds the long tail; their `share` is of those with a value, and they have no
    `base_share`."""

    unit: Unit
    base: int
    figures: Figures
    buckets: tuple[Bucket, ...]
    layerings: tuple[LayeringFigures, ...]


def distribution(run: Run, key: str, *, viewer: Viewer) -> Distribution | None:
    """The metric at the run among everybody `viewer` may see; None when the run did not compute it
    or its files are gone. A sort of the column: under 100 ms at a million customers."""
    catalog = run_catalog(run)
    metric = catalog.metrics.get(key)
    if metric is None:
        return None
    try:
        columns = open_columns(run, catalog, currency=settings.BASE_CURRENCY)
    except FileNotFoundError:
        return None
    if key not in columns.metrics:
        return None
    everybody = seen_positions(columns, viewer=viewer)
    column = columns.metric(key)
    units, known = column.units, column.known
    if everybody is not None:
        units, known = units[everybody], known[everybody]
    found = summary(units, known)
    mean_decimals = _mean_decimals(metric.unit, column)

    def at(percentile: int) -> Decimal | None:
        value = found.at.get(percentile)
        return None if value is None else decimal_value(value, column.decimals)

    edges = _round_edges(units, known) if found.count else ()
    counts = bucket_counts(units, known, edges) if found.count else []
    ends = [None, *(decimal_value(edge, column.decimals) for edge in edges), None]
    return Distribution(
        unit=metric.unit,
        base=len(units),
        figures=Figures(
            known=found.count,
            coverage=share_of(found.count, len(units)),
            mean=mean_value(found, column.decimals, shown=mean_decimals),
            low_quartile=at(25),
            median=at(50),
            high_quartile=at(75),
        ),
        buckets=tuple(
            Bucket(low, high, share_of(count, found.count), None)
            for low, high, count in zip(ends, ends[1:], counts, strict=False)
        ),
        layerings=tuple(
            LayeringFigures(
                layering,
                catalog.layerings[layering].label,
                _layer_figures(columns, column, layering, everybody, mean_decimals),
            )
            for layering in columns.layerings
        ),
    )


def _round_edges(units: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Where buckets begin after the first: some ten round values between the least and nearly the
    greatest. The rest above is one bucket, so that a few giants don't flatten the others."""
    present = units[known]
    low = float(present.min())
    high = float(np.partition(present, len(present) * _TAIL // 100)[len(present) * _TAIL // 100])
    step = _round_step((high - low) / _BUCKETS)
    first = int(low // step) * step + step
    edges = tuple(range(int(first), int(high) + 1, int(step)))
    return edges or (int(high) + int(step),)


def _round_step(width: float) -> int:
    """The least 1, 2 or 5 times a power of ten that is not below `width`, and at least 1."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= width:
                return factor * power
        power *= 10


def class_sizes(run: Run, *, kind: str, key: str, viewer: Viewer) -> dict[str, int]:
    """Customers `viewer` may see in each layer (`kind` "layer") or with each tag value ("tag"),
    counted in the run's files; empty when they are gone."""
    try:
        columns = open_columns(run, run_catalog(run), currency=settings.BASE_CURRENCY)
    except FileNotFoundError:
        return {}
    if key not in (columns.layerings if kind == "layer" else columns.tag_groups):
        return {}
    everybody = seen_positions(columns, viewer=viewer)
    sizes: dict[str, int] = {}
    for column in [columns.layer(key)] if kind == "layer" else columns.tag(key):
        codes = column.codes if everybody is None else column.codes[everybody]
        counted = np.bincount(codes.astype(np.int64) + 1, minlength=len(column.values) + 1)
        sizes |= dict(zip(column.values, map(int, counted[1:]), strict=True))
    return sizes


def layer_means(
    run: Run, *, layering: str, viewer: Viewer
) -> Mapping[str, tuple[LayerFigures, ...]]:
    """Of each metric of the run its figures in each layer of `layering`; empty without files.

    Some 10 ms a metric at a million customers; for people without a row scope it is remembered.
    """
    seen = sight(viewer)
    if seen.only is None:
        return _remembered_means(
            run.pk, run.recorded_hash, layering, bytes(seen.withdrawn.erased.serialize())
        )
    return _means(run, layering, seen.only - seen.withdrawn.erased)


@lru_cache(maxsize=32)
def _remembered_means(
    run_id: int, _recorded_hash: str, layering: str, erased: bytes
) -> Mapping[str, tuple[LayerFigures, ...]]:
    gone = BitMap.deserialize(erased)
    return _means(Run.objects.get(pk=run_id), layering, None, without=gone)


def _means(
    run: Run, layering: str, only: BitMap | None, *, without: BitMap | None = None
) -> Mapping[str, tuple[LayerFigures, ...]]:
    catalog = run_catalog(run)
    try:
        columns = open_columns(run, catalog, currency=settings.BASE_CURRENCY)
    except FileNotFoundError:
        return {}
    if layering not in columns.layerings:
        return {}
    if without:
        only = BitMap(columns.ordinals) - without
    everybody = None if only is None else columns.positions(only)
    found = {}
    for key in columns.metrics:
        column = columns.metric(key)
        decimals = _mean_decimals(catalog.metrics[key].unit, column)
        found[key] = _layer_figures(columns, column, layering, everybody, decimals)
    return found


def seen_positions(columns: RunColumns, *, viewer: Viewer) -> Positions | None:
    """Where the customers stand whom `viewer` may see; None: all of them."""
    seen = sight(viewer)
    if seen.only is None and not seen.withdrawn.erased:
        return None
    everybody = BitMap(columns.ordinals) if seen.only is None else seen.only
    return columns.positions(everybody - seen.withdrawn.erased)


def _layer_figures(
    columns: RunColumns,
    column: MetricColumn,
    layering: str,
    everybody: Positions | None,
    mean_decimals: int,
) -> tuple[LayerFigures, ...]:
    layers = columns.layer(layering)
    codes, units, known = layers.codes, column.units, column.known
    if everybody is not None:
        codes, units, known = codes[everybody], units[everybody], known[everybody]
    classes = len(layers.values)
    sizes = np.bincount(codes.astype(np.int64) + 1, minlength=classes + 1)[1:]
    of_known = codes[known].astype(np.int64) + 1
    with_value = np.bincount(of_known, minlength=classes + 1)[1:]
    totals = _totals(of_known, units[known], classes)
    found = []
    for layer, size, count, total in zip(layers.values, sizes, with_value, totals, strict=True):
        mean = None
        if count:
            mean = rounded(Fraction(total) / int(count) / 10**column.decimals, mean_decimals)
        found.append(LayerFigures(layer, int(size), int(count), mean))
    return tuple(found)


def _totals(
    classes_of: npt.NDArray[np.int64], values: npt.NDArray[Any], classes: int
) -> list[int | float]:
    """The sum of each class, class 0 left out; exact for whole numbers."""
    largest = int(np.abs(values).max()) if len(values) and values.dtype.kind != "f" else 0
    if values.dtype.kind == "f" or largest * len(values) < _FLOAT_EXACT:
        sums = np.bincount(classes_of, weights=values, minlength=classes + 1)[1:]
        return [float(one) if values.dtype.kind == "f" else int(one) for one in sums]
    return [int(values[classes_of == one].sum(dtype=np.int64)) for one in range(1, classes + 1)]


def _mean_decimals(unit: Unit, column: MetricColumn) -> int:
    return {"ratio": RATIO_DECIMALS, "money": column.decimals}.get(unit, _MEAN_DECIMALS)
