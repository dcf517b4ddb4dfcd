"""What a customer's page says beyond the rows: the portrait of a run, and the gap to the next tier.

All of it is one run's: its as-of, definitions, values, layers and segments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from membership.domain.lifecycle import rank_in_version
from membership.domain.programs import Program, Tier
from membership.domain.progress import Gap, next_tier, progress
from membership.models import Membership
from membership.queries import load_definition_set
from membership.services.tier_changes import version_at
from segmentation.domain.definitions import Catalog, FactMetric, Label, Unit
from segmentation.domain.values import shown
from segmentation.domain.windows import Interval, resolve
from segmentation.engine.results import run_folder
from segmentation.engine.snapshots import CustomerSnapshot, read_customer
from segmentation.models import Customer, DefinitionSet, Run
from segmentation.services.percentiles import Percentile, percentiles
from segmentation.services.run_catalogs import set_digest


@dataclass(frozen=True, slots=True)
class MetricValue:
    """One metric of a customer at a run, as a text in its unit; None: the metric has no value.

    `interval` is None for a formula. `base` and `layer`: the share (0 to 1) of customers, of all
    and of the own layer, who lie below; None where there is nothing to compare.
    """

    key: str
    label: Label
    unit: Unit
    value: str | None
    interval: Interval | None
    base: Decimal | None
    layer: Decimal | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a customer stands in something with values: a tag group or a layering."""

    key: str
    label: Label
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class In:
    """A segment that has the customer."""

    key: str
    label: Label
    is_hidden: bool


@dataclass(frozen=True, slots=True)
class Ahead:
    """The next tier of a program and what is missing to it.

    `gaps` None: the rule can't be said in gaps. `next_tier` None: the top is reached.
    """

    program: str
    next_tier: Tier | None
    gaps: tuple[Gap, ...] | None


@dataclass(frozen=True, slots=True)
class Portrait:
    """One customer at one run. `compared_in` is the layering whose layer `layer` compares in."""

    run: int
    as_of: datetime
    metrics: tuple[MetricValue, ...]
    tags: tuple[Place, ...]
    layers: tuple[Place, ...]
    segments: tuple[In, ...]
    ahead: Mapping[str, Ahead]
    compared_in: str | None


def portrait(
    customer: Customer,
    *,
    run: Run,
    visible_segments: Mapping[str, bool],
    objects: bool,
    sees_hidden: bool,
    only: BitMap | None,
    layering: str | None,
    zone: ZoneInfo,
    currency: str,
) -> Portrait | None:
    """Everything the run found about the customer, as far as the viewer may know.

    None when the run did not know the customer, or its files are gone. `visible_segments` are those
    the viewer may see, by key, and whether they are hidden now; a customer who `objects` is in no
    hidden one, and who does not see what is hidden (`sees_hidden`) sees none that was at the run.
    `only` are the customers to compare with, None: everybody. `layering` is the wished layering to
    compare in; without one, or without a layer in it, the first that has one.
    """
    if run.definition_set_id is None or not (run_folder(run.pk) / "snapshot.parquet").is_file():
        return None
    catalog, programs = _definitions(set_digest(run))
    found = read_customer(run, customer.external_id, catalog)
    if found is None:
        return None
    compared = _compared_in(found, layering)
    ranks = percentiles(run, external_id=customer.external_id, only=only)
    texts = _Texts(catalog, run.as_of, zone, currency)
    return Portrait(
        run=run.pk,
        as_of=run.as_of,
        metrics=tuple(
            texts.metric(key, found, ranks.get(key), compared) for key in catalog.metrics
        ),
        tags=tuple(
            Place(key, catalog.tag_groups[key].label, tuple(values))
            for key, values in found.tags.items()
            if values
        ),
        layers=tuple(
            Place(key, catalog.layerings[key].label, () if layer is None else (layer,))
            for key, layer in found.layers.items()
        ),
        segments=tuple(
            each
            for each in _segments(catalog, found, visible_segments)
            if not (each.is_hidden and (objects or not sees_hidden))
        ),
        ahead=_ahead(customer, programs, found, texts),
        compared_in=compared,
    )


@dataclass(frozen=True, slots=True)
class _Texts:
    catalog: Catalog
    as_of: datetime
    zone: ZoneInfo
    currency: str

    def metric(
        self, key: str, found: CustomerSnapshot, rank: Percentile | None, compared: str | None
    ) -> MetricValue:
        metric = self.catalog.metrics[key]
        interval = None
        if isinstance(metric, FactMetric):
            interval = resolve(metric.window, as_of=self.as_of, zone=self.zone)
        return MetricValue(
            key=key,
            label=metric.label,
            unit=metric.unit,
            value=shown(found.metrics[key], unit=metric.unit, currency=self.currency),
            interval=interval,
            base=rank.base if rank else None,
            layer=rank.layers.get(compared) if rank and compared else None,
        )


def _segments(catalog: Catalog, found: CustomerSnapshot, visible: Mapping[str, bool]) -> list[In]:
    return [
        In(key, segment.label, visible[key] or segment.visibility == "hidden")
        for key, segment in catalog.segments.items()
        if found.segments[key] and key in visible
    ]


def _compared_in(found: CustomerSnapshot, wished: str | None) -> str | None:
    having = [key for key, layer in found.layers.items() if layer is not None]
    if wished in having:
        return wished
    return having[0] if having else None


def _ahead(
    customer: Customer,
    programs: Mapping[str, Program],
    found: CustomerSnapshot,
    texts: _Texts,
) -> dict[str, Ahead]:
    """By program in force at the run's as-of."""
    held = {
        key: (tier, rank)
        for key, tier, rank in Membership.objects.filter(customer=customer).values_list(
            "program__key", "tier", "rank"
        )
    }
    units = {key: metric.unit for key, metric in texts.catalog.metrics.items()}
    ahead = {}
    for key, program in programs.items():
        version = version_at(program, texts.as_of)
        if version is None:
            continue
        rank = None
        if key in held:
            tier, stored = held[key]
            rank = rank_in_version(version, tier=tier, rank=stored)
        above = next_tier(version, rank=rank)
        gaps = None
        if above is not None:
            gaps = progress(above.rule, values=found.metrics, units=units, currency=texts.currency)
        ahead[key] = Ahead(key, above, gaps)
    return ahead


@lru_cache(maxsize=4)
def _definitions(digest: str) -> tuple[Catalog, dict[str, Program]]:
    # A set never changes, so reading its rules again for each page would be waste.
    catalog, programs = load_definition_set(DefinitionSet.objects.get(digest=digest))
    return catalog, {program.key: program for program in programs}
