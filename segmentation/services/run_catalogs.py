"""The definitions a run was computed with, as this app reads them."""

from __future__ import annotations

from datetime import datetime
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
    return _catalog(set_digest(run))


def set_digest(run: Run) -> str:
    """The digest of the definitions a run was computed with, which names their content. Raises
    NotFoundError without any."""
    if run.definition_set_id is None:
        raise NotFoundError(f"Run {run.pk} has no definitions.")
    return _digest(run.definition_set_id, run.requested_at)


def warm_columns(run: Run) -> None:
    """Write what percentiles and portraits of a run read, so that nobody waits for it (some
    seconds at a million customers). Call it after publishing; without it the first page does."""
    open_columns(run, run_catalog(run), currency=settings.BASE_CURRENCY)


@lru_cache(maxsize=256)
def _digest(definition_set: int, _requested_at: datetime) -> str:
    # The moment tells a run from one of the same numbers before a restore.
    rows = DefinitionSet.objects.filter(pk=definition_set)
    return rows.values_list("digest", flat=True).get()


@lru_cache(maxsize=16)
def _catalog(digest: str) -> Catalog:
    # A set never changes, so reading its rules again for each page would be waste.
    document = DefinitionSet.objects.values_list("document", flat=True).get(digest=digest)
    return build_catalog(read_stored({name: document[name] for name in SECTIONS}))
