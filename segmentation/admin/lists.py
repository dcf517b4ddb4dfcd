"""Customer lists: the list of them and the page of one; their forms are in list_views.py."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from segmentation.domain.dependencies import Ref
from segmentation.models import CustomerList, CustomerListMember, Run
from segmentation.permissions import (
    of_visible_customers,
    row_scope,
    sight,
    visible_jobs,
    visible_lists,
)
from segmentation.services.customer_lists import ADD_LIST, CHANGE_LIST, list_members
from segmentation.services.relations import relations

from . import shown
from .base import EMPTY
from .definition_filters import AttentionFilter, FolderFilter, OwnerFilter, RetiredFilter
from .definition_parts import related_rows
from .definitions import visibility_badge
from .exports import export_url
from .job_views import job_status
from .list_views import CustomerListViews
from .member_tables import VIEW_CUSTOMER, members_context
from .portrait_links import portrait_url

_JOBS = 10


class StarredFilter(AttentionFilter):
    """The own stars; nothing says yet which lists nobody needs."""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return super().lookups(request, model_admin)[:1]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(shown_star=True) if self.value() == "starred" else queryset


@admin.register(CustomerList)
class CustomerListAdmin(CustomerListViews):
    kind = "list"
    page_template = "admin/lists/list.html"
    list_display = (
        "star", "name", "key", "visibility", "size", "purpose", "folder", "owner", "changed",
    )  # fmt: skip
    list_filter: ClassVar[Any] = (StarredFilter, FolderFilter, OwnerFilter, RetiredFilter)
    nothing_yet = gettext_lazy(
        "A list is a named set of customers that you bring along: the guests of an event, a test "
        "group. Upload a file with their IDs, or save the members of a segment as a list."
    )

    def rows(self, request: HttpRequest) -> QuerySet[Any]:
        return visible_lists(request.user)

    def complete(self, rows: list[Any], *, request: HttpRequest) -> None:
        sizes = seen_list_sizes(rows, user=request.user)
        for row in rows:
            row.shown_size = sizes.get(row.pk, 0)

    def start_button(self, request: HttpRequest) -> SafeString | str:
        if not request.user.has_perm(ADD_LIST):
            return ""
        address = reverse("admin:segmentation_customerlist_add")
        return format_html('<a class="tw-button" href="{}">{}</a>', address, _("New list"))

    def get_urls(self) -> list[URLPattern]:
        members = self.admin_site.admin_view(self.members_view)
        return [
            *self.form_urls(),
            path("<int:pk>/members/", members, name="segmentation_customerlist_members"),
            *super().get_urls(),
        ]

    def badges(self, row: Any) -> Iterable[SafeString]:
        yield visibility_badge(is_hidden=row.is_hidden)
        yield from super().badges(row)

    def facts(
        self, row: Any, *, request: HttpRequest, run: Run | None
    ) -> Iterable[tuple[Any, Any]]:
        sizes = seen_list_sizes([row], user=request.user)
        yield _("Number of members"), shown.count(sizes.get(row.pk, 0))
        yield _("Last change"), shown.instant(row.updated_at)
        yield _("By"), row.actor
        yield _("Created at"), shown.instant(row.created_at)

    def tabs(self, row: Any, *, request: HttpRequest) -> Iterable[tuple[Any, str]]:
        if request.user.has_perm(VIEW_CUSTOMER):
            yield _("Members"), reverse("admin:segmentation_customerlist_members", args=[row.pk])

    def context(self, row: Any, *, request: HttpRequest) -> dict[str, Any]:
        user = request.user
        found = relations(Ref("list", row.key), viewer=user)
        used_by = related_rows(found.used_by, user=user)
        may_change = user.has_perm(CHANGE_LIST) and row.retired_at is None
        names = ("upload", "edit", "retire")
        return {
            "note": row.note,
            "leaf": f"{{list: {row.key}, cmp: member}}",
            "related": [(_("Used by"), used_by, _("Nothing uses it."))],
            "panels": [job_table(row, request=request)],
            "portrait_url": portrait_url(f"list:{row.key}", user=user),
            "export_url": export_url("list", user=user, parameters={"key": row.key}),
            "rule_url": f"{reverse('admin:builder_start')}?kind=segment"
            if user.has_perm("segmentation.change_draft") and row.retired_at is None
            else "",
            "urls": {
                name: reverse(f"admin:segmentation_customerlist_{name}", args=[row.pk])
                for name in names
            }
            if may_change
            else {},
        }

    def members_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The customers of the list that this person may see."""
        row = self.seen(request, pk)
        members = sight(request.user).members(list_members(row), is_hidden=row.is_hidden)
        context = {
            **members_context(
                members,
                request=request,
                title=_("Members"),
                empty=_("Nobody is on this list yet. Upload a file with customer IDs."),
            ),
            "export_url": export_url("list", user=request.user, parameters={"key": row.key}),
        }
        return self.page(request, row, "admin/members/members.html", context)

    @admin.display(description=gettext_lazy("visibility"))
    def visibility(self, row: CustomerList) -> SafeString:
        return visibility_badge(is_hidden=row.is_hidden)

    @admin.display(description=gettext_lazy("members"))
    def size(self, row: Any) -> str:
        return shown.count(row.shown_size)

    @admin.display(description=gettext_lazy("what it is for"))
    def purpose(self, row: CustomerList) -> str:
        return row.note or EMPTY


def seen_list_sizes(rows: list[Any], *, user: Any) -> dict[int, int]:
    """Sizes of lists by primary key, as their pages have members for this person: in the row
    scope, and of hidden ones without those who object. Stored sizes where they hold, and at most
    two queries."""
    sizes = {row.pk: row.size for row in rows}
    if row_scope(user) is not None:
        sizes = _counted([row.pk for row in rows], user=user)
    hidden = [row.pk for row in rows if row.is_hidden]
    objecting = _counted(hidden, user=user, customer__objection__isnull=False) if hidden else {}
    return {key: size - objecting.get(key, 0) for key, size in sizes.items()}


def _counted(lists: list[int], *, user: Any, **narrow: Any) -> dict[int, int]:
    members = CustomerListMember.objects.filter(list__in=lists, customer__erased_at=None, **narrow)
    counted = of_visible_customers(members, user=user).order_by().values_list("list")
    return dict(counted.annotate(size=Count("pk")))


def job_table(row: CustomerList, *, request: HttpRequest) -> shown.Table:
    """The newest uploads of a list that this person may see."""
    jobs = visible_jobs(request.user).filter(
        subject=f"list:{row.key}", kind__in=("list_upload", "list_save")
    )
    cells = [
        (
            shown.link("segmentation_job_change", args=[job.pk], text=job.pk),
            job_status(job),
            job.actor,
            shown.instant(job.requested_at),
            shown.count(job.result.get("added")),
            shown.count(job.result.get("unknown")),
            shown.count(job.result.get("duplicates")),
        )
        for job in jobs.order_by("-pk").defer("log")[:_JOBS]
    ]
    headers = (
        _("job"), _("status"), _("by"), _("requested at"), _("added"), _("unknown customers"),
        _("duplicates"),
    )  # fmt: skip
    return shown.Table(
        _("Uploads"), headers, cells, empty=_("No upload yet."), numeric=frozenset({4, 5, 6})
    )
