"""Filters of the lists of definitions: state, folder, owner, own stars, unused.

Folders and owners are offered from what the reader may see, so that no hidden segment shows by
the folder it is filed in.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from config import clock
from segmentation.models import Card
from segmentation.permissions import may_see_hidden
from segmentation.services.cards import UNUSED_DAYS, unused_for


class RetiredFilter(admin.SimpleListFilter):
    """In use by default; retired definitions on demand."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("retired", _("Retired")), ("all", _("In use and retired"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "all":
                return queryset
            case "retired":
                return queryset.exclude(retired_at=None)
        return queryset.filter(retired_at=None)

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("In use")}
        yield from others


class VisibilityFilter(admin.SimpleListFilter):
    """Restricted segments apart from the others. Offered to nobody who can't see them: a filter
    for something says that there is something."""

    title = _("visibility")
    parameter_name = "visibility"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        if not may_see_hidden(request.user):
            return []
        return [("hidden", _("Hidden")), ("internal", _("Internal"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "hidden":
                return queryset.filter(is_hidden=True)
            case "internal":
                return queryset.filter(is_hidden=False)
        return queryset


def _cards(request: HttpRequest, model_admin: Any) -> QuerySet[Card]:
    visible = model_admin.get_queryset(request).order_by().values("key")
    return Card.objects.filter(kind=model_admin.kind, key__in=visible)


class _CardFilter(admin.SimpleListFilter):
    """Definitions by their card."""

    column: str
    none = "-"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self.kind = model_admin.kind
        return self.offered(_cards(request, model_admin))

    def offered(self, cards: QuerySet[Card]) -> list[tuple[str, Any]]:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        known = [choice for choice, _words in self.lookup_choices]
        if value is None or value not in known:
            return queryset
        cards = Card.objects.filter(kind=self.kind)
        if value == self.none:
            return queryset.exclude(key__in=cards.exclude(owner=None).values("key"))
        return queryset.filter(key__in=cards.filter(**{self.column: value}).values("key"))


class FolderFilter(_CardFilter):
    title = _("folder")
    parameter_name = "folder"
    column = "folder"

    def offered(self, cards: QuerySet[Card]) -> list[tuple[str, Any]]:
        used = cards.exclude(folder="").order_by("folder").values_list("folder", flat=True)
        return [(folder, folder) for folder in used.distinct()]


class OwnerFilter(_CardFilter):
    title = _("owner")
    parameter_name = "owner"
    column = "owner"

    def offered(self, cards: QuerySet[Card]) -> list[tuple[str, Any]]:
        owners = cards.exclude(owner=None).annotate(name=F("owner__username")).order_by("name")
        named = owners.values_list("owner", "name").distinct()
        found: list[tuple[str, Any]] = [(str(pk), name) for pk, name in named]
        return [*found, (self.none, _("Nobody"))] if found else []


class AttentionFilter(admin.SimpleListFilter):
    """The own stars, and what nobody seems to need."""

    title = _("shown")
    parameter_name = "only"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        self.kind = model_admin.kind
        return [
            ("starred", _("My stars")),
            ("unused", _("Unused for %(days)s days") % {"days": UNUSED_DAYS}),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "starred":
                return queryset.filter(shown_star=True)
            case "unused":
                return queryset.filter(key__in=unused_for(self.kind, now=clock.real_now()))
        return queryset
