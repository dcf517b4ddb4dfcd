"""What a group portrait says, as values and as tables."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pandas as pd

from segmentation.domain.definitions import Label, Unit
from segmentation.models import Run


@dataclass(frozen=True, slots=True)
class ShareRow:
    """One class: `count` and `share` in the group, and in everybody; shares are of those whose
    class is known. `tgi` is 100 x the ratio of the shares. None where suppressed or undefined."""

    value: str
    count: int | None
    base_count: int
    share: Decimal | None
    base_share: Decimal | None
    tgi: int | None
    is_suppressed: bool


@dataclass(frozen=True, slots=True)
class ClassPortrait:
    """A tag group or a layering. `known` customers have a class; `coverage` is their share of the
    group. `is_exclusive`: the rows don't overlap."""

    key: str
    label: Label
    is_exclusive: bool
    known: int | None
    coverage: Decimal | None
    base_known: int
    base_coverage: Decimal | None
    rows: tuple[ShareRow, ...]


@dataclass(frozen=True, slots=True)
class Figures:
    """A metric among some customers, in its unit; None where suppressed or nobody has a value.

    Quartiles are values somebody has: of rank floor(p/100 x n) + 1 among the n present ones. They
    and the mean are of values as shown, rounded to the unit.
    """

    known: int | None
    coverage: Decimal | None
    mean: Decimal | None
    low_quartile: Decimal | None
    median: Decimal | None
    high_quartile: Decimal | None


@dataclass(frozen=True, slots=True)
class Bucket:
    """Values from `low` (None: no lower end) to below `high` (None: no upper end), and the shares
    of those with a value that lie there."""

    low: Decimal | None
    high: Decimal | None
    share: Decimal | None
    base_share: Decimal | None


@dataclass(frozen=True, slots=True)
class MetricPortrait:
    key: str
    label: Label
    unit: Unit
    group: Figures
    base: Figures
    buckets: tuple[Bucket, ...]


@dataclass(frozen=True, slots=True)
class Portrait:
    """A group against everybody, both within the row scope of who asked.

    `is_hidden`: small cells are suppressed. `is_small`: too few people for shares to mean much.
    """

    run: Run
    size: int
    base_size: int
    is_hidden: bool
    is_small: bool
    tags: tuple[ClassPortrait, ...]
    layerings: tuple[ClassPortrait, ...]
    metrics: tuple[MetricPortrait, ...]


def share_frame(portrait: Portrait, *, language: str = "en") -> pd.DataFrame:
    """One row per class: kind, key, name, value, count, share, base_count, base_share, tgi."""
    return pd.DataFrame(
        [
            {
                "kind": kind,
                "key": one.key,
                "name": _name(one.label, language),
                "value": row.value,
                "count": row.count,
                "share": row.share,
                "base_count": row.base_count,
                "base_share": row.base_share,
                "tgi": row.tgi,
            }
            for kind, found in (("tag", portrait.tags), ("layering", portrait.layerings))
            for one in found
            for row in one.rows
        ],
        dtype=object,
    )


def metric_frame(portrait: Portrait, *, language: str = "en") -> pd.DataFrame:
    """One row per metric: key, name, unit, then known, coverage, mean and quartiles of the group
    and, with `base_` before them, of everybody."""
    return pd.DataFrame(
        [
            {
                "key": one.key,
                "name": _name(one.label, language),
                "unit": one.unit,
                **_figures(one.group, ""),
                **_figures(one.base, "base_"),
            }
            for one in portrait.metrics
        ],
        dtype=object,
    )


def _figures(found: Figures, prefix: str) -> dict[str, object]:
    return {
        f"{prefix}known": found.known,
        f"{prefix}coverage": found.coverage,
        f"{prefix}mean": found.mean,
        f"{prefix}low_quartile": found.low_quartile,
        f"{prefix}median": found.median,
        f"{prefix}high_quartile": found.high_quartile,
    }


def _name(label: Label, language: str) -> str:
    return label.zh_hans if language.startswith("zh") else label.en
