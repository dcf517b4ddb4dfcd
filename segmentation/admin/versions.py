"""Published versions of definitions, and the sets that runs were computed from."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from segmentation.models import DefinitionSet, DefinitionVersion
from segmentation.permissions import visible_definition_sets, visible_versions

from . import shown
from .base import KeysetAdmin
from .definition_parts import KIND_WORDS
from .documents import as_yaml


class VersionKindFilter(admin.SimpleListFilter):
    """By kind of definition, in words."""

    title = _("kind")
    parameter_name = "kind__exact"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(kind, words) for kind, words in KIND_WORDS.items() if kind != "list"]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(DefinitionVersion)
class DefinitionVersionAdmin(KeysetAdmin):
    list_display = (
        "serial", "shown_kind", "key", "shown_number", "is_retired", "actor", "published_at",
    )  # fmt: skip
    list_filter = (VersionKindFilter, "published_at")
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("shown_kind", "key", "shown_number"),
                    ("actor", "published_at", "is_retired"),
                    ("digest",),
                )
            },
        ),
        (_("Definition"), {"fields": ("shown_document",)}),
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[DefinitionVersion]:
        return visible_versions(request.user)

    def heading(self, row: Any) -> str:
        words = gettext("%(kind)s %(key)s, version %(number)s")
        return words % {"kind": self.shown_kind(row), "key": row.key, "number": row.number}

    @admin.display(description=_("version"))
    def shown_number(self, version: DefinitionVersion) -> int:
        return version.number

    @admin.display(description=_("kind"))
    def shown_kind(self, version: DefinitionVersion) -> Any:
        return KIND_WORDS.get(version.kind, version.kind)

    @admin.display(description="YAML")
    def shown_document(self, version: DefinitionVersion) -> SafeString:
        return shown.code_block(as_yaml(version.document))


@admin.register(DefinitionSet)
class DefinitionSetAdmin(KeysetAdmin):
    """Everything a run was computed from, hidden rules included: needs the right to see those."""

    list_display = ("serial", "digest", "created_at")
    list_display_links = ("digest",)
    fields = ("digest", "created_at", "shown_document")

    def get_queryset(self, request: HttpRequest) -> QuerySet[DefinitionSet]:
        return visible_definition_sets(request.user)

    @admin.display(description=_("Definition"))
    def shown_document(self, row: DefinitionSet) -> SafeString:
        return shown.code_block(as_yaml(row.document))
