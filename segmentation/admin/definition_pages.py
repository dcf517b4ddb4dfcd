"""What the list and the page of every kind of definition share.

A list puts the reader's stars first and says where each definition is filed, whose it is and when
it changed. A page shows the definition in force; it is changed in the builder.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.expressions import Combinable
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.functional import lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from config import clock
from segmentation.domain.dependencies import Ref
from segmentation.models import AccessRecord, DefinitionVersion, Run, Star
from segmentation.queries import newest_published_run
from segmentation.services.access_log import record_access
from segmentation.services.cards import Filing, filing, filings, note_use
from segmentation.services.relations import relations

from . import shown
from .base import EMPTY, ReadOnlyAdmin
from .builder.cards import star_button
from .builder.links import buttons, new_button
from .definition_filters import AttentionFilter, FolderFilter, OwnerFilter, RetiredFilter
from .definition_parts import KIND_WORDS as KIND_WORDS
from .definition_parts import is_newer_than, related_rows, run_trouble
from .documents import as_yaml
from .looking import looker

# In the language of who reads the list, not of whoever imported this.
_STAR = lazy(format_html, SafeString)("<span aria-label='{}'>★</span>", _("star"))

if TYPE_CHECKING:
    UnfoldChangeList = ChangeList
else:
    from unfold.views import ChangeList as UnfoldChangeList


def current_run(request: HttpRequest) -> Run | None:
    """The run whose results are current, read once a request."""
    kept = request.__dict__
    if "_current_run" not in kept:
        kept["_current_run"] = newest_published_run()
    found: Run | None = kept["_current_run"]
    return found


class DefinitionChangeList(UnfoldChangeList):
    """One page of definitions with what several tables say about them, read once for all rows."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        page: DefinitionPageAdmin = self.model_admin  # type: ignore[assignment]
        keys = [row.key for row in rows]
        found = filings(page.kind, keys=keys, user=cast(User, request.user))
        for row in rows:
            row.filing = found[row.key]
        page.complete(rows, request=request)
        self.result_list = rows


class DefinitionPageAdmin(ReadOnlyAdmin):
    """The list and the page of one kind of definition."""

    kind: ClassVar[str]
    page_template: ClassVar[str] = "admin/definitions/definition.html"
    change_list_template = "admin/definitions/list.html"
    list_display_links: Any = ("name",)
    list_filter: ClassVar[Any] = (AttentionFilter, FolderFilter, OwnerFilter, RetiredFilter)
    search_fields: ClassVar[Any] = ("key", "label_en", "label_zh_hans")
    search_help_text = _("Key or name, in either language")
    nothing_found = _("No definition fits this search and these filters.")

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        """What this person may know of."""
        found: QuerySet[Any] = self.model._default_manager.all()
        return found

    def complete(self, rows: list[Any], *, request: HttpRequest) -> None:
        """Add to the rows of a list what their columns show."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        person = cast(User, request.user)
        starred = Star.objects.filter(user=person, kind=self.kind, key=OuterRef("key"))
        found: QuerySet[Any] = self.rows(request).annotate(shown_star=Exists(starred))
        return found.order_by("key")

    def get_ordering(self, request: HttpRequest) -> list[str | Combinable]:
        return ["-shown_star", "key"]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return DefinitionChangeList

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        start = self.start_button(request)
        return super().changelist_view(request, {**(extra_context or {}), "start_button": start})

    def start_button(self, request: HttpRequest) -> SafeString | str:
        """What makes a new one, for who may."""
        return new_button(self.kind, user=request.user)

    def heading(self, row: Any) -> str:
        return shown.label(row)

    # One definition

    def seen(self, request: HttpRequest, object_id: str | int) -> Any:
        """The definition, for who may know of it; else 404, as for one that does not exist."""
        row = self.get_object(request, str(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return row

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.seen(request, object_id)
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return self.page(request, row, self.page_template, self.context(row, request=request))

    def context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        """What only this kind's page shows."""
        return {}

    def facts(
        self, row: Any, *, request: HttpRequest, run: Run | None
    ) -> Iterable[tuple[Any, Any]]:
        """Figures at the head of the page."""
        return ()

    def badges(self, row: Any) -> Iterable[SafeString]:
        """Labels beside the name."""
        if row.retired_at is not None:
            yield shown.badge(gettext("Retired"), colour="danger")

    def tabs(self, row: Any, *, request: HttpRequest) -> Iterable[tuple[Any, str]]:
        """The parts of the page: words and address."""
        return ()

    def page(
        self, request: HttpRequest, row: Any, template: str, context: Mapping[str, Any]
    ) -> HttpResponse:
        """One part of a definition's page. Looking at it is noted; at a hidden one, recorded."""
        self.note_look(row, request=request)
        run = current_run(request)
        filed = filing(self.kind, row.key, user=cast(User, request.user))
        name = f"{self.opts.app_label}_{self.opts.model_name}"
        own = reverse(f"admin:{name}_change", args=[row.pk])
        history = reverse(f"admin:{name}_history", args=[row.pk])
        tabs = [(_("Overview"), own), *self.tabs(row, request=request), (_("History"), history)]
        whole = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "original": row,
            "title": self.heading(row),
            "subtitle": None,
            "kind": self.kind,
            "run": run,
            "trouble": run_trouble(run, user=request.user),
            "filing": filed,
            "star": star_button(self.kind, row.key, is_starred=filed.is_starred),
            "buttons": self.act_buttons(row, request=request),
            "file_url": reverse("admin:card_file", args=[self.kind, row.key])
            if request.user.has_perm("segmentation.change_card")
            else "",
            "badges": list(self.badges(row)),
            "facts": list(self.facts(row, request=request, run=run)),
            "parts": [(words, link, link == request.path) for words, link in tabs],
            **context,
        }
        return TemplateResponse(request, template, whole)

    def act_buttons(self, row: Any, *, request: HttpRequest) -> SafeString | str:
        """Edit, clone and retire, for who may."""
        return "" if row.retired_at else buttons(self.kind, row.key, user=request.user)

    def note_look(self, row: Any, *, request: HttpRequest) -> None:
        """Remember the use; a look at something hidden goes into the access log."""
        now = clock.real_now()
        note_use(self.kind, row.key, now=now)
        if getattr(row, "is_hidden", False):
            record_access(
                AccessRecord.Kind.VIEW_HIDDEN,
                looker=looker(request),
                subject=f"{self.kind}:{row.key}",
                now=now,
                is_hidden=True,
                details={"page": request.path},
            )

    def definition_context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        """The document, what it needs and who needs it."""
        related = relations(Ref(self.kind, row.key), viewer=request.user)
        versions = DefinitionVersion.objects.filter(kind=self.kind, key=row.key)
        newest = versions.order_by("-number").values("actor", "published_at").first()
        return {
            "document": as_yaml(row.document),
            "newest_version": newest,
            "is_newer": is_newer_than(current_run(request), Ref(self.kind, row.key), row.document),
            "related": [
                (
                    _("Used by"),
                    related_rows(related.used_by, user=request.user),
                    _("Nothing uses it."),
                ),
                (
                    _("Depends on"),
                    related_rows(related.needs, user=request.user),
                    _("It needs nothing else."),
                ),
            ],
        }

    @admin.display(description=_STAR)
    def star(self, row: Any) -> SafeString:
        return star_button(self.kind, row.key, is_starred=row.filing.is_starred)

    @admin.display(description=_("name"), ordering="label_en")
    def name(self, row: Any) -> SafeString | str:
        return retired_name(row)

    @admin.display(description=_("folder"))
    def folder(self, row: Any) -> str:
        filed: Filing = row.filing
        return filed.folder or EMPTY

    @admin.display(description=_("owner"))
    def owner(self, row: Any) -> str:
        filed: Filing = row.filing
        return filed.owner or EMPTY

    @admin.display(description=_("last change"), ordering="updated_at")
    def changed(self, row: Any) -> str:
        return shown.day(row.updated_at)


def retired_name(row: Any) -> SafeString | str:
    """The name; of a retired definition with a label that says so."""
    if row.retired_at is None:
        return shown.label(row)
    return format_html("{} {}", shown.label(row), shown.badge(gettext("Retired"), colour="danger"))
