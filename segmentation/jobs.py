"""The kinds of job this app can do: importing a module registers its kinds."""

from __future__ import annotations

from .services import (
    data_quality,
    export_access,
    export_members,
    export_overlaps,
    export_portraits,
    export_sources,
    list_saves,
    list_uploads,
    uploads,
)

__all__: list[str] = [
    "data_quality",
    "export_access",
    "export_members",
    "export_overlaps",
    "export_portraits",
    "export_sources",
    "list_saves",
    "list_uploads",
    "uploads",
]
