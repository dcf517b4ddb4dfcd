"""How a customer's metrics compare with everybody's and with those of the own layers.

“Everybody” is whom the viewer may know of: a rank among all stores would tell about the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from django.conf import settings
from pyroaring import BitMap

from segmentation.analysis.percentile_ranks import below_and_ties, percentile_rank
from segmentation.engine.run_columns import RunColumns, open_columns
from segmentation.models import Customer, Run

from .run_catalogs import run_catalog


@dataclass(frozen=True, slots=True)
class Percentile:
    """The share (0 to 1, 4 decimals, half-up) of customers with a value who lie below this
    customer, those with the same value (the customer among them) counted half.

    `base`: among everybody; None when the customer has no value. `layers`: among the customers of
    the own layer of each layering; None without a layer or a value.
    """

    base: Decimal | None
    layers: Mapping[str, Decimal | None]


def percentiles(run: Run, *, external_id: str, only: BitMap | None = None) -> dict[str, Percentile]:
    """Each metric of a customer at a run, by key; values are compared exactly, with `only` among
    these customers.

    Empty for a customer the run did not know, and when the run's files are gone. The first call
    for a run writes its columns (seconds at a million customers), later ones take some 50 ms.
    """
    ordinal = (
        Customer.objects.filter(external_id=external_id).values_list("ordinal", flat=True).first()
    )
    if ordinal is None:
        return {}
    try:
        columns = open_columns(run, run_catalog(run), currency=settings.BASE_CURRENCY)
    except FileNotFoundError:
        return {}
    at = columns.position(ordinal)
    if at is None:
        return {}
    seen = None if only is None else _seen(columns, only)
    own = _own_layers(columns, at, seen=seen)
    return {key: _percentile(columns, key, at, own, seen=seen) for key in columns.metrics}


def _seen(columns: RunColumns, only: BitMap) -> np.ndarray:
    mask = np.zeros(len(columns), bool)
    mask[columns.positions(only)] = True
    return mask


def _own_layers(
    columns: RunColumns, at: int, *, seen: np.ndarray | None
) -> dict[str, np.ndarray | None]:
    """Who shares the customer's layer, by layering; None where the customer has no layer."""
    found: dict[str, np.ndarray | None] = {}
    for key in columns.layerings:
        codes = columns.layer(key).codes
        mates = codes == codes[at]
        found[key] = None if codes[at] < 0 else mates if seen is None else mates & seen
    return found


def _percentile(
    columns: RunColumns,
    key: str,
    at: int,
    own: Mapping[str, np.ndarray | None],
    *,
    seen: np.ndarray | None,
) -> Percentile:
    metric = columns.metric(key)
    known = metric.known if metric.has_missing else None
    if known is not None and not known[at]:
        return Percentile(None, dict.fromkeys(own))
    below, ties = below_and_ties(metric.order, at)

    def rank(mask: np.ndarray) -> Decimal | None:
        count = np.count_nonzero(mask if known is None else mask & known)
        return percentile_rank(
            int(np.count_nonzero(below & mask)), int(np.count_nonzero(ties & mask)), int(count)
        )

    layers = {layering: None if mask is None else rank(mask) for layering, mask in own.items()}
    if seen is not None:
        return Percentile(rank(seen), layers)
    everybody = len(columns) if known is None else int(np.count_nonzero(known))
    base = percentile_rank(int(np.count_nonzero(below)), int(np.count_nonzero(ties)), everybody)
    return Percentile(base, layers)
