"""The parts of a segment's page that show customers: members, who entered and left, and who was
put in or kept out by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from pyroaring import BitMap
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextareaWidget

from segmentation.domain.errors import TierwiseError
from segmentation.domain.row_numbers import row_number
from segmentation.models import Customer, ManualMember, Segment
from segmentation.permissions import (
    of_visible_customers,
    sight,
    visible_customers,
    visible_manual_members,
    visible_results,
)
from segmentation.services.manual_members import exclude_customer, include_customer

from . import shown
from .base import EMPTY
from .definition_pages import DefinitionPageAdmin, current_run
from .exports import export_url
from .facts import customer_link
from .member_tables import PAGE, VIEW_CUSTOMER, members_context
from .portrait_links import portrait_url, save_list_url

VIEW_MANUAL = "segmentation.view_manualmember"
ADD_MANUAL = "segmentation.add_manualmember"
DELETE_MANUAL = "segmentation.delete_manualmember"
_MOST_REASON = 1000
_PARTS: dict[str, tuple[Any, Any]] = {
    "members": (_("Members"), _("Nobody is in this segment.")),
    "entered": (_("Entered"), _("Nobody entered at this run.")),
    "left": (_("Left"), _("Nobody left at this run.")),
}


class ManualForm(forms.Form):
    """Put a customer into the segment, or keep one out."""

    customer = forms.ModelChoiceField(
        label=_("Customer"),
        queryset=Customer.objects.none(),
        widget=AutocompleteSelect(ManualMember._meta.get_field("customer"), admin.site),
    )
    kind = forms.ChoiceField(
        label=_("Act"),
        choices=ManualMember.Kind.choices,
        initial=ManualMember.Kind.INCLUDE,
        widget=UnfoldAdminRadioSelectWidget,
        help_text=_("An exclude wins over an include and over the rule."),
    )
    reason = forms.CharField(
        label=_("Reason"),
        max_length=_MOST_REASON,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        customers: Any = self.fields["customer"]
        customers.queryset = visible_customers(user)


class SegmentMemberViews(DefinitionPageAdmin):
    """Mixed into the segment's page."""

    def member_urls(self) -> list[URLPattern]:
        def part(name: str, view: Any) -> URLPattern:
            wrapped: Callable[..., HttpResponse] = self.admin_site.admin_view(view)
            return path(f"<int:pk>/{name}/", wrapped, name=f"segmentation_segment_{name}")

        return [
            part("members", self.members_view),
            part("manual", self.manual_view),
        ]

    def tabs(self, row: Any, *, request: HttpRequest) -> Iterable[tuple[Any, str]]:
        if request.user.has_perm(VIEW_CUSTOMER):
            address = reverse("admin:segmentation_segment_members", args=[row.pk])
            yield _("Members"), address
        if request.user.has_perm(VIEW_MANUAL):
            yield _("By hand"), reverse("admin:segmentation_segment_manual", args=[row.pk])

    def members_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Members of the newest run, or who entered or left at it."""
        row = self.seen(request, pk)
        chosen = request.GET.get("which", "members")
        if chosen not in _PARTS:
            raise Http404
        title, empty = _PARTS[chosen]
        run = current_run(request)
        results = visible_results(request.user).filter(run=run, segment=row)
        stored = results.values_list(chosen, flat=True).first()
        bitmap = BitMap() if stored is None else BitMap.deserialize(bytes(stored))
        members = sight(request.user).members(bitmap, is_hidden=row.is_hidden)
        own = reverse("admin:segmentation_segment_members", args=[row.pk])
        context = {
            **members_context(
                members,
                request=request,
                title=title,
                empty=_("No run has computed this segment yet.") if stored is None else empty,
            ),
            "choices": [
                (words, f"{own}?which={name}", name == chosen)
                for name, (words, _empty) in _PARTS.items()
            ],
            "portrait_url": portrait_url(f"segment:{row.key}", user=request.user),
            "export_url": export_url("segment", user=request.user, parameters={"key": row.key}),
            "save_url": save_list_url(f"segment:{row.key}", user=request.user),
        }
        return self.page(request, row, "admin/members/members.html", context)

    def manual_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Who was put in or kept out by hand, and adding to them."""
        row: Segment = self.seen(request, pk)
        if not request.user.has_perm(VIEW_MANUAL):
            raise PermissionDenied
        may_add = request.user.has_perm(ADD_MANUAL) and row.retired_at is None
        form = None
        if may_add:
            form = ManualForm(request.POST or None, user=request.user)
        if request.method == "POST":
            if form is None:
                raise PermissionDenied
            if form.is_valid() and self._added(row, form, request=request):
                return HttpResponseRedirect(request.get_full_path())
        listed = _listed(row, request=request)
        asked = row_number(request.GET.get("after", ""))
        if asked is not None:
            listed = listed.filter(pk__lt=asked)
        rows = list(listed[: PAGE + 1])
        context = {
            "table": _manual_table(rows[:PAGE], user=request.user),
            "form": form,
            "next_url": f"?after={rows[PAGE - 1].pk}" if len(rows) > PAGE else None,
            "first_url": None if asked is None else "?",
        }
        return self.page(request, row, "admin/members/manual.html", context)

    def _added(self, row: Segment, form: ManualForm, *, request: HttpRequest) -> bool:
        asked = form.cleaned_data
        add = include_customer if asked["kind"] == ManualMember.Kind.INCLUDE else exclude_customer
        try:
            add(
                row,
                customer=asked["customer"],
                reason=asked["reason"],
                actor=request.user.get_username(),
            )
        except TierwiseError as error:
            form.add_error(None, error.message)
            return False
        messages.success(request, gettext("Noted. It counts from the next run on."))
        return True


def _listed(row: Segment, *, request: HttpRequest) -> QuerySet[ManualMember]:
    own = visible_manual_members(request.user).filter(segment=row, customer__erased_at=None)
    scoped = of_visible_customers(own, user=request.user)
    return scoped.select_related("customer").order_by("-pk")


def _manual_table(rows: Iterable[ManualMember], *, user: Any) -> shown.Table:
    may_remove = user.has_perm(DELETE_MANUAL)
    headers = [_("customer"), _("act"), _("reason"), _("by"), _("since")]
    if may_remove:
        headers.append(_("take back"))
    cells = []
    for row in rows:
        colour = "success" if row.kind == ManualMember.Kind.INCLUDE else "danger"
        line: list[Any] = [
            customer_link(row.customer),
            shown.badge(row.get_kind_display(), colour=colour),
            row.reason or EMPTY,
            row.actor,
            shown.instant(row.created_at),
        ]
        if may_remove:
            line.append(
                shown.link("segmentation_manualmember_delete", args=[row.pk], text=_("Take back"))
            )
        cells.append(line)
    return shown.Table(
        _("Put in or kept out by hand"),
        headers,
        cells,
        empty=_("Nobody is put in or kept out by hand: the rule alone decides."),
    )
