"""How a customer's metrics compare with everybody's and with those of the own layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from django.conf import settings

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


def percentiles(run: Run, *, external_id: str) -> dict[str, Percentile]:
    """Each metric of a customer at a run, by key; values are compared exactly.

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
    own = _own_layers(columns, at)
    return {key: _percentile(columns, key, at, own) for key in columns.metrics}


def _own_layers(columns: RunColumns, at: int) -> dict[str, np.ndarray | None]:
    """Who shares the customer's layer, by layering; None where the customer has no layer."""
    found: dict[str, np.ndarray | None] = {}
    for key in columns.layerings:
        codes = columns.layer(key).codes
        found[key] = None if codes[at] < 0 else codes == codes[at]
    return found


def _percentile(
    columns: RunColumns, key: str, at: int, own: Mapping[str, np.ndarray | None]
) -> Percentile:
    metric = columns.metric(key)
    known = metric.known if metric.has_missing else None
    if known is not None and not known[at]:
        return Percentile(None, dict.fromkeys(own))
    below, ties = below_and_ties(metric.order, at)
    everybody = len(columns) if known is None else int(np.count_nonzero(known))
    layers: dict[str, Decimal | None] = {}
    for layering, mask in own.items():
        if mask is None:
            layers[layering] = None
            continue
        count = np.count_nonzero(mask if known is None else mask & known)
        layers[layering] = percentile_rank(
            int(np.count_nonzero(below & mask)), int(np.count_nonzero(ties & mask)), int(count)
        )
    base = percentile_rank(int(np.count_nonzero(below)), int(np.count_nonzero(ties)), everybody)
    return Percentile(base, layers)
