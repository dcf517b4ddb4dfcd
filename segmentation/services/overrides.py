"""What people decided by hand, as a run reads it: includes, excludes, objections, lists."""

from __future__ import annotations

import io
from collections.abc import Collection

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from django.db import connection

from segmentation.engine.compute import OVERRIDES
from segmentation.engine.results import run_folder
from segmentation.models import CustomerList, ManualMember, Objection, Run

_LISTED = (
    "COPY (SELECT c.ordinal, m.list_id FROM segmentation_customerlistmember m"
    " JOIN segmentation_customer c ON c.id = m.customer_id WHERE m.list_id = ANY(%s) ORDER BY m.id)"
    " TO STDOUT (FORMAT csv)"
)
_LISTED_TYPES = {"ordinal": pa.int64(), "list": pa.int64()}


def load_overrides(lists: Collection[str] = ()) -> pa.Table:
    """The manual rows, objections and members of these lists as they are now, with the columns of
    OVERRIDES."""
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
    table = pa.table([list(ordinals), list(kinds), list(segments)], schema=OVERRIDES)
    return pa.concat_tables([table, _listed(lists)]) if lists else table


def _listed(lists: Collection[str]) -> pa.Table:
    """Members of lists: copied out as a whole, since a list may have a million."""
    keys = dict(CustomerList.objects.filter(key__in=list(lists)).values_list("pk", "key"))
    buffer = io.BytesIO()
    with connection.cursor() as cursor, cursor.copy(_LISTED, [list(keys)]) as copy:
        for block in copy:
            buffer.write(block)
    if not buffer.tell():
        return OVERRIDES.empty_table()
    buffer.seek(0)
    found = pa_csv.read_csv(
        buffer,
        read_options=pa_csv.ReadOptions(column_names=list(_LISTED_TYPES)),
        convert_options=pa_csv.ConvertOptions(column_types=_LISTED_TYPES),
    )
    names = pa.array(list(keys.values()), pa.string())
    position = pa.compute.index_in(found["list"], pa.array(list(keys), pa.int64()))
    kind = pa.repeat(pa.scalar("list", pa.string()), found.num_rows)
    return pa.table([found["ordinal"], kind, names.take(position.combine_chunks())], OVERRIDES)


def pinned_overrides(run: Run) -> pa.Table:
    """The manual rows, objections and list members a run was computed with, from its files."""
    return pq.read_table(run_folder(run.pk) / "overrides.parquet").cast(OVERRIDES)
