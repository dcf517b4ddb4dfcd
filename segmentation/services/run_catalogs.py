"""The definitions a run was computed with, as this app reads them."""

from __future__ import annotations

from functools import lru_cache

from django.conf import settings

from segmentation.domain.definitions import Catalog
from segmentation.domain.errors import NotFoundError
from segmentation.domain.reading import build_catalog, read_stored
from segmentation.domain.reading.stored import SECTIONS
from segmentation.engine.run_columns import open_columns
from segmentation.models import DefinitionSet, Run


def run_catalog(run: Run) -> Catalog:
    """The run's tag groups, metrics, layerings and segments. Raises NotFoundError without any."""
    if run.definition_set_id is None:
        raise NotFoundError(f"Run {run.pk} has no definitions.")
    return catalog_of_set(run.definition_set_id)


def warm_columns(run: Run) -> None:
    """Write what percentiles and portraits of a run read, so that nobody waits for it (some
    seconds at a million customers). Call it after publishing; without it the first page does."""
    open_columns(run, run_catalog(run), currency=settings.BASE_CURRENCY)


@lru_cache(maxsize=16)
def catalog_of_set(definition_set: int) -> Catalog:
    """The catalog of an immutable definition set, read once per process."""
    document = DefinitionSet.objects.values_list("document", flat=True).get(pk=definition_set)
    return build_catalog(read_stored({name: document[name] for name in SECTIONS}))
