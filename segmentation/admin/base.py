"""Base classes of every page of the admin.

`ReadOnlyAdmin` shows and never writes. `KeysetAdmin` is for tables that may hold millions of rows:
no COUNT, no OFFSET, no sorting by chance columns; a page starts where the last one ended.
Both refuse lookups that were not declared, so that a query string can't probe what a page hides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.options import IS_POPUP_VAR, IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.db.models.expressions import Combinable
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.functional import cached_property
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from .history import HistoryPages
from .shown import EMPTY as EMPTY

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    UnfoldChangeList = ChangeList
else:
    from unfold.admin import ModelAdmin
    from unfold.views import ChangeList as UnfoldChangeList

# No stored text has one, and PostgreSQL refuses to compare with it.
NUL = "\x00"


class ListTitle:
    """A list is called by what it lists; "Select ... to view" stays where a popup asks to."""

    opts: Any
    kind_title: Any = ""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if IS_POPUP_VAR not in request.GET:
            title = self.kind_title or capfirst(self.opts.verbose_name_plural)
            extra_context = {"title": title, **(extra_context or {})}
        found: HttpResponse = super().changelist_view(request, extra_context)  # type: ignore[misc]
        return found


class TierwiseAdmin(ListTitle, HistoryPages, ModelAdmin):
    """What all pages share."""

    list_per_page = 50
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # numbers beside filters would count the whole table
    empty_value_display = EMPTY
    list_filter_submit = False
    compressed_fields = True

    @admin.display(description=_("No."))
    def serial(self, row: Any) -> int:
        """The row's number, for lists of things without a name."""
        return int(row.pk)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs.get("obj")
        if row is not None:
            context["heading"] = context["subtitle"] = self.heading(row)
            context["history_url"] = self.history_address(row)
        return super().render_change_form(request, context, *args, **kwargs)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what a filter of this page declares."""
        declared = [item for item in self.list_filter if isinstance(item, str)]
        declared += [str(item[0]) for item in self.list_filter if isinstance(item, tuple)]
        declared += [
            str(item.parameter_name)
            for item in self.list_filter
            if isinstance(item, type) and issubclass(item, admin.SimpleListFilter)
        ]
        if self.date_hierarchy:
            declared.append(self.date_hierarchy)
        return any(lookup == name or lookup.startswith(f"{name}__") for name in declared)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """A query string with NUL is refused like any other value that no filter can have."""
        if any(NUL in value for _name, values in request.GET.lists() for value in values):
            return HttpResponseRedirect(f"{request.path}?e=1")
        return super().changelist_view(request, extra_context)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if NUL in search_term:
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Any:
        """Read once a request: pages ask for it before the theme does."""
        kept = request.__dict__.setdefault("_kept_objects", {})
        key = (self.model, object_id, from_field)
        if key not in kept:
            kept[key] = super().get_object(request, object_id, from_field)
        return kept[key]

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        raise Http404


class ReadOnlyAdmin(TierwiseAdmin):
    """Looks only; `view` permission is enough for every page."""

    actions = None
    change_form_template = "admin/read_only_page.html"

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class KeysetPages(Paginator[Any]):
    """Counts two pages ahead at most: what autocomplete boxes need, at no more than their cost."""

    template_name = "admin/keyset_pagination.html"

    @cached_property
    def count(self) -> int:
        return len(self.object_list[: 2 * self.per_page + 1])


class KeysetChangeList(UnfoldChangeList):
    """Rows after a position in one fixed order, and the position of the next page."""

    POSITION = "after"
    has_more = False

    def get_filters_params(self, params: dict[str, Any] | None = None) -> dict[str, Any]:
        remaining: dict[str, Any] = super().get_filters_params(params)
        position = remaining.pop(self.POSITION, None)
        self.position = position[-1] if isinstance(position, list) else position
        return remaining

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        return [self.model_admin.keyset]  # type: ignore[attr-defined]

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Any]:
        rows = super().get_queryset(request, exclude_parameters)
        if not self.position:
            return rows
        order: str = self.model_admin.keyset  # type: ignore[attr-defined]
        side = "lt" if order.startswith("-") else "gt"
        try:
            return rows.filter(**{f"{order.lstrip('-')}__{side}": self.position})
        except ValueError as error:
            raise IncorrectLookupParameters(error) from error

    def get_results(self, request: HttpRequest) -> None:
        size = self.list_per_page
        rows = list(self.queryset[: size + 1])
        self.has_more = len(rows) > size
        self.result_list = rows[:size]
        self.result_count = len(self.result_list)
        self.full_result_count = None
        self.show_full_result_count = False
        self.show_admin_actions = bool(rows)
        self.can_show_all = False
        self.multi_page = self.has_more
        self.paginator = KeysetPages(self.result_list, size)

    def _query(self, **extra: str) -> str:
        kept = {name: value for name, value in self.filter_params.items() if name != self.POSITION}
        if self.query:
            kept[SEARCH_VAR] = [self.query]
        return "?" + urlencode({**kept, **extra}, doseq=True)

    @property
    def next_url(self) -> str | None:
        if not self.has_more:
            return None
        field = self.model_admin.keyset.lstrip("-")  # type: ignore[attr-defined]
        last = self.result_list[len(self.result_list) - 1]
        return self._query(**{self.POSITION: str(getattr(last, field))})

    @property
    def first_url(self) -> str | None:
        return self._query() if self.position else None


class KeysetAdmin(ReadOnlyAdmin):
    """Read-only list of a big table in the order of `keyset`, a unique indexed column."""

    keyset: ClassVar[str] = "-pk"
    sortable_by = ()
    paginator = KeysetPages

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return KeysetChangeList

    def get_ordering(self, request: HttpRequest) -> list[str | Combinable]:
        return [self.keyset]


class ExactSearchAdmin(KeysetAdmin):
    """Searches by ids with indexed comparisons only, never by a text inside a text."""

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        raise NotImplementedError

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        if not term or NUL in term:
            return super().get_search_results(request, queryset, term)
        return self.find(queryset, term=term), False
