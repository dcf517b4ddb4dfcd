"""The tags a customer may see about themselves: those of groups marked public."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Q

from segmentation.domain.definitions import Catalog
from segmentation.engine.snapshots import read_customer
from segmentation.models import Customer, CustomerTag, TagGroup
from segmentation.queries import newest_published_run

from .run_catalogs import run_catalog


def public_tags(customer: Customer, *, now: datetime) -> dict[str, list[str]]:
    """Values by public group, every living public group listed, in the order of the definition.

    Recorded tags are those of `now` (the project's time, against which they expire); derived ones
    those of the newest published run.
    """
    groups = {
        row.key: row.document
        for row in TagGroup.objects.filter(retired_at=None, document__public=True).order_by("key")
    }
    live = Q(expires_at=None) | Q(expires_at__gt=now)
    found: dict[str, set[str]] = {key: set() for key in groups}
    recorded = CustomerTag.objects.filter(live, customer=customer, is_removed=False)
    for group, value in recorded.filter(group__in=groups).values_list("group", "value"):
        found[group].add(value)
    derived = {key for key, document in groups.items() if document.get("rules")}
    for key, values in _derived(customer, derived).items():
        found[key] = set(values)
    declared = {key: list(document.get("values") or ()) for key, document in groups.items()}
    return {key: _ordered(values, declared[key]) for key, values in found.items()}


def _derived(customer: Customer, keys: set[str]) -> dict[str, list[str]]:
    run = newest_published_run() if keys else None
    if run is None or run.definition_set_id is None:
        return {}
    catalog = run_catalog(run)
    known = {key: group for key, group in catalog.tag_groups.items() if key in keys}
    if not known:
        return {}
    # Only these columns are read and turned into values.
    snapshot = read_customer(run, customer.external_id, Catalog(tag_groups=known))
    return {} if snapshot is None else snapshot.tags


def _ordered(values: set[str], declared: list[str]) -> list[str]:
    known = [value for value in declared if value in values]
    return [*known, *sorted(values - set(known))]
