"""What the defined tag groups allow to be recorded."""

from __future__ import annotations

from segmentation.domain.facts import ImportedGroup
from segmentation.models import TagGroup


def imported_groups() -> dict[str, ImportedGroup]:
    """Every tag group in force, by key; derived ones are marked."""
    groups = TagGroup.objects.filter(retired_at=None).values_list("key", "document")
    return {
        key: ImportedGroup(
            key=key,
            exclusive=bool(document.get("exclusive", False)),
            values=frozenset(document.get("values") or ()),
            is_derived=bool(document.get("rules")),
        )
        for key, document in groups
    }
