"""The kinds of job this app can do: importing a module registers its kinds."""

from __future__ import annotations

from .services import (
    erasure,
    export_sources,
    merge_jobs,
    personal_export,
    preview,
    publishing,
    verifying,
)

__all__: list[str] = [
    "erasure",
    "export_sources",
    "merge_jobs",
    "personal_export",
    "preview",
    "publishing",
    "verifying",
]
