"""What people decided by hand, as a run reads it: includes, excludes, objections."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from segmentation.engine.compute import OVERRIDES
from segmentation.engine.results import run_folder
from segmentation.models import ManualMember, Objection, Run


def load_overrides() -> pa.Table:
    """The manual rows and objections of now, with the columns of OVERRIDES."""
    rows: list[tuple[int, str, str | None]] = [
        (ordinal, kind, key)
        for ordinal, kind, key in ManualMember.objects.filter(segment__retired_at=None)
        .order_by("pk")
        .values_list("customer__ordinal", "kind", "segment__key")
    ]
    rows += [
        (ordinal, "objection", None)
        for ordinal in Objection.objects.order_by("pk").values_list("customer__ordinal", flat=True)
    ]
    ordinals, kinds, segments = zip(*rows, strict=True) if rows else ((), (), ())
    return pa.table([list(ordinals), list(kinds), list(segments)], schema=OVERRIDES)


def pinned_overrides(run: Run) -> pa.Table:
    """The manual rows and objections a run was computed with, from its files."""
    return pq.read_table(run_folder(run.pk) / "overrides.parquet").cast(OVERRIDES)
