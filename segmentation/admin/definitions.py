"""What pages of definitions outside this app share: words in the fields of a read-only form."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.models import Run

from . import shown
from .base import ReadOnlyAdmin
from .definition_filters import RetiredFilter
from .documents import as_yaml


class DefinitionAdmin(ReadOnlyAdmin):
    """What every definition shows: its names, its version and its document."""

    list_display: Any = ("name", "key", "version", "updated_at")
    list_display_links = ("name",)
    list_filter = (RetiredFilter,)
    search_fields = ("key", "label_en", "label_zh_hans")
    search_help_text = _("Key or name")
    ordering = ("key",)
    change_form_before_template = "admin/changed_by_apply.html"
    change_form_outer_after_template = "admin/panels.html"
    words: tuple[Any, ...] = ()

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        identity = (("label_en", "label_zh_hans"), ("key", "version"), ("updated_at", "retired_at"))
        return (
            (None, {"fields": identity}),
            *(((_("In words"), {"fields": self.words}),) if self.words else ()),
            (_("Definition"), {"fields": ("shown_document",)}),
        )

    def heading(self, row: Any) -> str:
        return shown.label(row)

    def panels(self, definition: Any, *, request: HttpRequest) -> tuple[shown.Table, ...]:
        return ()

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        definition = self.get_object(request, object_id or "")
        panels = self.panels(definition, request=request) if definition else ()
        return super().changeform_view(
            request, object_id, form_url, {**(extra_context or {}), "panels": panels}
        )

    @admin.display(description=_("name"), ordering="label_en")
    def name(self, definition: Any) -> str:
        return shown.label(definition)

    @admin.display(description="YAML")
    def shown_document(self, definition: Any) -> SafeString:
        return shown.code_block(as_yaml(definition.document))


def as_of_note(run: Run | None) -> Any:
    if run is None:
        return _("No run was published yet.")
    return format_html("{} {}", _("as of"), shown.instant(run.as_of))


def visibility_badge(*, is_hidden: bool) -> SafeString:
    if is_hidden:
        return shown.badge(_("Hidden"), colour="warning")
    return shown.badge(_("Internal"), colour="default")
