"""Tags as rows: what the cells of a customers file set and remove, and what a new value of an
exclusive group takes the place of."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from segmentation.models import FactBatch

from .shapes import literal, tag_is_live
from .staging import Sent, run

_TAGS = "segmentation_customertag"


def cells_differ(tag_columns: Mapping[str, str], *, sent: Sent, now: datetime) -> str:
    """SQL: does the staged customer `s` have other live tags than the stored one `t`?"""
    conditions = [
        f"({sent.condition(f'tag:{group}')} AND s.{column} IS DISTINCT FROM COALESCE("
        f"(SELECT array_agg(g.value::text ORDER BY g.value) FROM {_TAGS} g"
        f' WHERE g.customer_id = t.id AND g."group" = {literal(group)}'
        f" AND {tag_is_live('g', now=now)}), '{{}}'))"
        for group, column in tag_columns.items()
    ]
    return " OR ".join(conditions) or "FALSE"


def write_cells(
    tag_columns: Mapping[str, str], *, sent: Sent, now: datetime, batch: FactBatch
) -> int:
    """Make the live tags of the staged customers what their cells say; rows written.

    `batch` is saved with what was written, and is not saved when nothing was.
    """
    batch.save()
    inserted = updated = 0
    for group, column in tag_columns.items():
        name = literal(group)
        given = sent.condition(f"tag:{group}")
        updated += run(
            f"UPDATE {_TAGS} g SET is_removed = TRUE, batch_id = {batch.pk}"
            " FROM import_rows s JOIN segmentation_customer c ON c.external_id = s.customer_id"
            f' WHERE g.customer_id = c.id AND g."group" = {name} AND NOT g.is_removed'
            f" AND {given} AND g.value <> ALL (s.{column})"
        )
        updated += run(
            f"UPDATE {_TAGS} g SET is_removed = FALSE, expires_at = NULL, batch_id = {batch.pk}"
            " FROM import_rows s JOIN segmentation_customer c ON c.external_id = s.customer_id"
            f' WHERE g.customer_id = c.id AND g."group" = {name}'
            f" AND NOT {tag_is_live('g', now=now)} AND {given} AND g.value = ANY (s.{column})"
        )
        inserted += run(
            f'INSERT INTO {_TAGS} (customer_id, "group", value, is_removed, batch_id)'
            f" SELECT c.id, {name}, v.value, FALSE, {batch.pk} FROM import_rows s"
            " JOIN segmentation_customer c ON c.external_id = s.customer_id"
            f" CROSS JOIN LATERAL unnest(s.{column}) v (value) WHERE {given} AND NOT EXISTS"
            f' (SELECT FROM {_TAGS} g WHERE g.customer_id = c.id AND g."group" = {name}'
            " AND g.value = v.value)"
        )
    if inserted or updated:
        batch.read, batch.inserted, batch.updated = inserted + updated, inserted, updated
        batch.save()
    else:
        batch.delete()
    return inserted + updated


def remove_superseded(exclusive_groups: tuple[str, ...], *, batch: FactBatch) -> int:
    """End the other live values of the staged customers in exclusive groups; rows written."""
    if not exclusive_groups:
        return 0
    groups = ", ".join(literal(group) for group in exclusive_groups)
    return run(
        f"UPDATE {_TAGS} g SET is_removed = TRUE, batch_id = {batch.pk}"
        " FROM import_rows s JOIN segmentation_customer c ON c.external_id = s.customer_id"
        f' WHERE g.customer_id = c.id AND g."group" = s."group" AND s."group" IN ({groups})'
        " AND g.value <> s.value AND NOT g.is_removed"
    )
