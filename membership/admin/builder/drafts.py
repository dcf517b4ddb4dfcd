"""The list of drafts, and the addresses of the builder."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from segmentation.admin import shown
from segmentation.admin.base import ReadOnlyAdmin
from segmentation.admin.builder.links import new_button
from segmentation.models import Draft
from segmentation.permissions import EDIT_DRAFTS, visible_drafts

from . import cards, editor, portraits, previews, publishing, starting
from .words import kind_words


@admin.register(Draft)
class DraftAdmin(ReadOnlyAdmin):
    """Edits that are not published; a row opens in the builder."""

    list_display = ("name", "shown_kind", "key", "origin", "author", "changed")
    list_display_links = ("name",)
    list_filter = ("kind", "author")
    search_fields = ("key",)
    search_help_text = _("Key")
    ordering = ("-updated_at", "-pk")
    change_list_template = "admin/builder/drafts.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Draft]:
        return visible_drafts(request.user)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        button = new_button("segment", user=request.user)
        return super().changelist_view(request, {**(extra_context or {}), "start_button": button})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        draft = self.get_object(request, object_id)
        if draft is None:
            raise Http404
        address = reverse("admin:builder_draft", args=[draft.kind, draft.key])
        return HttpResponseRedirect(address)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        return starting.start(request, site=self.admin_site)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm(EDIT_DRAFTS)

    def get_urls(self) -> list[URLPattern]:
        site = self.admin_site

        def page(address: str, view: Callable[..., HttpResponse], name: str, **more: Any) -> Any:
            wrapped = site.admin_view(partial(view, **more))
            return path(address, wrapped, name=name)

        own: list[URLPattern] = [
            page("start/", starting.start, "builder_start", site=site),
            page("templates/", starting.templates, "builder_templates", site=site),
            page("templates/<slug:name>/", starting.template, "builder_template", site=site),
            page("edit/<slug:kind>/<slug:key>/", editor.edit, "builder_draft", site=site),
            page("preview/<slug:kind>/<slug:key>/", previews.show, "builder_preview"),
            page("preview/<int:job_id>/", previews.follow, "builder_preview_job"),
            page("publish/<slug:kind>/<slug:key>/", publishing.publish, "builder_publish",
                 site=site),
            page("portrait/<slug:kind>/<slug:key>/", portraits.show, "builder_portrait", site=site),
            page("published/<int:job_id>/", publishing.done, "builder_done", site=site),
            page("retire/<slug:kind>/<slug:key>/", publishing.retire, "builder_retire", site=site),
            page("discard/<slug:kind>/<slug:key>/", publishing.discard, "builder_discard"),
            page("star/<slug:kind>/<slug:key>/", cards.star, "card_star"),
            page("file/<slug:kind>/<slug:key>/", cards.file, "card_file", site=site),
        ]  # fmt: skip
        return [*own, *super().get_urls()]

    @admin.display(description=_("name"))
    def name(self, draft: Draft) -> str:
        return shown.document_label(draft.document, key=draft.key)

    @admin.display(description=_("kind"), ordering="kind")
    def shown_kind(self, draft: Draft) -> str:
        return kind_words(draft.kind)

    @admin.display(description=_("edits"))
    def origin(self, draft: Draft) -> Any:
        if not draft.base_version:
            return shown.badge(_("New"), colour="info")
        return _("version %(number)s") % {"number": draft.base_version}

    @admin.display(description=_("changed at"), ordering="updated_at")
    def changed(self, draft: Draft) -> SafeString | str:
        return shown.instant(draft.updated_at)
