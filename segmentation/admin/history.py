"""What database triggers kept of every change to definitions and manual lists: read-only."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db.models import BigIntegerField, CharField, OuterRef, QuerySet, Subquery
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.permissions import visible_history

from . import shown
from .base import EMPTY, KeysetAdmin
from .documents import as_yaml

ACTS = {
    "insert": (_("Added"), "success"),
    "update": (_("Changed"), "info"),
    "delete": (_("Removed"), "danger"),
}


class HistoryAdmin(KeysetAdmin):
    """One event table: when, what was done, by whom, and the row after the change."""

    keyset = "-pgh_id"
    list_display: Any = ("shown_at", "act", "what", "who", "why")
    list_display_links = ("shown_at",)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        names = [
            field.name
            for field in self.model._meta.concrete_fields
            if not field.name.startswith("pgh_") and field.name not in ("id", "document")
        ]
        has_document = any(field.name == "document" for field in self.model._meta.fields)
        own = [("shown_at", "act"), ("who", "why"), *names]
        return [*own, "shown_document"] if has_document else own

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        user = get_user_model().objects.filter(
            pk=Cast(KeyTextTransform("user", OuterRef("pgh_context__metadata")), BigIntegerField())
        )
        rows = super().get_queryset(request).select_related("pgh_context")
        found: QuerySet[Any] = visible_history(rows, user=request.user).annotate(
            shown_who=Coalesce(
                KeyTextTransform("actor", "pgh_context__metadata"),
                Subquery(user.values("username")[:1]),
                output_field=CharField(),
            ),
            shown_why=KeyTextTransform("reason", "pgh_context__metadata"),
        )
        return found

    @admin.display(description=_("time"))
    def shown_at(self, event: Any) -> str:
        return shown.instant(event.pgh_created_at)

    @admin.display(description=_("act"))
    def act(self, event: Any) -> SafeString:
        words, colour = ACTS.get(event.pgh_label, (event.pgh_label, "default"))
        return shown.badge(words, colour=colour)

    @admin.display(description=_("what"))
    def what(self, event: Any) -> str:
        return str(event.key)

    @admin.display(description=_("by"))
    def who(self, event: Any) -> str:
        return event.shown_who or EMPTY

    @admin.display(description=_("reason"))
    def why(self, event: Any) -> str:
        return event.shown_why or EMPTY

    @admin.display(description=_("Definition"))
    def shown_document(self, event: Any) -> SafeString:
        return shown.code_block(as_yaml(event.document))


class ManualMemberHistoryAdmin(HistoryAdmin):
    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("pgh_context", "segment", "customer")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [("shown_at", "act"), ("who", "why"), "what", "reason", "actor"]

    @admin.display(description=_("what"))
    def what(self, event: Any) -> str:
        return f"{event.get_kind_display()}: {event.customer} → {shown.label(event.segment)}"


for name in ("TagGroupEvent", "MetricEvent", "LayeringEvent", "SegmentEvent"):
    admin.site.register(apps.get_model("segmentation", name), HistoryAdmin)
admin.site.register(apps.get_model("segmentation", "ManualMemberEvent"), ManualMemberHistoryAdmin)
