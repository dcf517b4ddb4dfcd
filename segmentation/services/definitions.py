"""The stored definitions of the segmentation side: reading them and publishing new versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from django.db import connection

from segmentation.domain.definitions import Catalog, Label, Layering, Segment, TagGroup
from segmentation.domain.dependencies import Ref
from segmentation.domain.reading import build_catalog, read_stored
from segmentation.domain.writing import (
    Document,
    digest,
    write_layering,
    write_metric,
    write_segment,
    write_tag_group,
)
from segmentation.models import CustomerTag, Definition, DefinitionVersion
from segmentation.models import Layering as LayeringRow
from segmentation.models import Metric as MetricRow
from segmentation.models import Segment as SegmentRow
from segmentation.models import TagGroup as TagGroupRow

# Advisory lock of all definitions: exclusive while a document is applied, shared while a
# consistent set is read. Taken before any row lock.
LOCK = 7_303_001
MODELS: Mapping[str, type[Definition]] = {
    "tag": TagGroupRow,
    "metric": MetricRow,
    "layering": LayeringRow,
    "segment": SegmentRow,
}
DefinitionRow = TypeVar("DefinitionRow", bound=Definition)
_SECTIONS = {"tag": "tags", "metric": "metrics", "layering": "layerings", "segment": "segments"}


def lock_definitions(*, exclusive: bool) -> None:
    """Wait for the lock and hold it until the transaction ends; needs a transaction."""
    if not connection.in_atomic_block:
        raise RuntimeError("lock_definitions needs a transaction")
    function = "pg_advisory_xact_lock" if exclusive else "pg_advisory_xact_lock_shared"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {function}(%s)", [LOCK])


def stored_document() -> Document:
    """The living definitions as one document, by key."""
    return {
        _SECTIONS[kind]: list(
            model._default_manager.filter(retired_at=None)
            .order_by("key")
            .values_list("document", flat=True)
        )
        for kind, model in MODELS.items()
    }


def current_catalog() -> Catalog:
    """All living definitions of the segmentation side, by key."""
    return build_catalog(read_stored(stored_document()))


def write_definition(definition: object) -> Document:
    """The normalised document of a tag group, metric, layering or segment."""
    if isinstance(definition, TagGroup):
        return write_tag_group(definition)
    if isinstance(definition, Layering):
        return write_layering(definition)
    if isinstance(definition, Segment):
        return write_segment(definition)
    return write_metric(definition)  # type: ignore[arg-type]  # the only kind left


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one definition: a new current state, or its end.

    `published` is the document of the immutable version where it differs from `document`.
    """

    ref: Ref
    label: Label
    document: Document
    fields: Mapping[str, Any] = field(default_factory=dict)
    is_retired: bool = False
    published: Document | None = None


def change_to(ref: Ref, definition: Any, *, is_retired: bool = False) -> Change:
    """The change that makes `definition` current, or retires it."""
    fields: dict[str, Any] = {}
    if isinstance(definition, Segment):
        fields["is_hidden"] = definition.visibility == "hidden"
    return Change(ref, definition.label, write_definition(definition), fields, is_retired)


def store_changes(
    model: type[DefinitionRow], changes: Sequence[Change], *, actor: str, now: datetime
) -> dict[str, DefinitionRow]:
    """Write definitions of one kind, each with a new immutable version; their rows by key.

    Runs inside the caller's transaction, lock and audit context. `now` is the real clock's. A
    retired definition keeps its row, versions and results.
    """
    rows = {
        row.key: row
        for row in model._default_manager.filter(key__in=[change.ref.key for change in changes])
    }
    new: list[DefinitionRow] = []
    known: list[DefinitionRow] = []
    for change in changes:
        row = rows.get(change.ref.key)
        if row is None:
            row = rows[change.ref.key] = model(key=change.ref.key, version=0)
            new.append(row)
        else:
            known.append(row)
        row.version += 1
        row.label_en, row.label_zh_hans = change.label.en, change.label.zh_hans
        row.document = change.document
        row.retired_at = now if change.is_retired else None
        row.updated_at = now
        for name, value in change.fields.items():
            setattr(row, name, value)
    model._default_manager.bulk_create(new)
    written = ["version", "label_en", "label_zh_hans", "document", "retired_at", "updated_at"]
    more = sorted({name for change in changes for name in change.fields})
    if known:
        model._default_manager.bulk_update(known, [*written, *more], batch_size=200)
    DefinitionVersion.objects.bulk_create(
        [_version(change, rows[change.ref.key], actor=actor, now=now) for change in changes]
    )
    return rows


def _version(change: Change, row: Definition, *, actor: str, now: datetime) -> DefinitionVersion:
    content = change.document if change.published is None else change.published
    return DefinitionVersion(
        kind=change.ref.kind,
        key=change.ref.key,
        number=row.version,
        document=content,
        digest=digest(content),
        is_retired=change.is_retired,
        actor=actor,
        published_at=now,
    )


def tag_values_in_use(group: str) -> dict[str, int]:
    """Recorded values of an imported tag group with how many customers have each."""
    return _counts(
        "SELECT value, count(*) FROM {table} "
        'WHERE "group" = %s AND NOT is_removed GROUP BY value ORDER BY value',
        group,
    )


def customers_with_several_values(group: str) -> int:
    """How many customers have more than one recorded value of a tag group."""
    found = _counts(
        "SELECT 'customers', count(*) FROM (SELECT 1 FROM {table} "
        'WHERE "group" = %s AND NOT is_removed GROUP BY customer_id HAVING count(*) > 1) several',
        group,
    )
    return found["customers"]


def _counts(query: str, group: str) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute(query.format(table=CustomerTag._meta.db_table), [group])
        return dict(cursor.fetchall())
