"""Manual includes and excludes (added and taken back with a reason), and objections."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import ForeignKey, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from segmentation.domain.errors import TierwiseError
from segmentation.models import ManualMember, Objection, living
from segmentation.permissions import (
    of_visible_customers,
    visible_customers,
    visible_manual_members,
    visible_segments,
)
from segmentation.services.manual_members import exclude_customer, include_customer, remove

from . import shown
from .base import ExactSearchAdmin, KeysetAdmin, TierwiseAdmin
from .facts import customer_id_of, customer_link
from .runs import VisibleSegmentFilter


class ReasonForm(forms.Form):
    """Why a manual include or exclude is taken back."""

    reason = forms.CharField(label=_("Reason"), widget=UnfoldAdminTextareaWidget, max_length=1000)


@admin.register(ManualMember)
class ManualMemberAdmin(ExactSearchAdmin):
    """Rows are added and removed, never edited; both go through the service and need a reason."""

    list_display = (
        "serial", "shown_segment", "shown_customer", "shown_kind", "reason", "actor", "created_at",
    )  # fmt: skip
    list_filter = (VisibleSegmentFilter, "kind")
    search_fields = ("customer",)
    search_help_text = _("A customer's whole ID")
    autocomplete_fields = ("customer",)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return TierwiseAdmin.has_add_permission(self, request)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return TierwiseAdmin.has_delete_permission(self, request, obj)

    def heading(self, row: Any) -> str:
        return f"{row.get_kind_display()} · {row.customer.external_id}"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ManualMember]:
        rows = visible_manual_members(request.user).filter(customer__erased_at=None)
        scoped = of_visible_customers(rows, user=request.user)
        return scoped.select_related("segment", "customer").defer("segment__document")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return ("segment", "customer", "kind", "reason")
        return (
            ("shown_segment", "shown_customer"),
            ("shown_kind", "actor", "created_at"),
            "reason",
        )

    def find(self, rows: QuerySet[Any], *, term: str) -> QuerySet[Any]:
        return rows.filter(customer_id=customer_id_of(term))

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name == "segment":
            kwargs["queryset"] = visible_segments(request.user).filter(retired_at=None)
        if db_field.name == "customer":
            kwargs["queryset"] = visible_customers(request.user)
        field = super().formfield_for_foreignkey(db_field, request, **kwargs)
        if db_field.name == "segment" and field is not None:
            field.label_from_instance = shown.label  # type: ignore[method-assign,assignment]
        if field is not None:
            field.widget.can_add_related = field.widget.can_change_related = False
            field.widget.can_view_related = False
        return field

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        add = include_customer if obj.kind == ManualMember.Kind.INCLUDE else exclude_customer
        made = add(
            obj.segment,
            customer=obj.customer,
            reason=obj.reason,
            actor=request.user.get_username(),
        )
        obj.pk, obj.actor, obj.created_at = made.pk, made.actor, made.created_at

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except TierwiseError as error:  # listed by somebody else since the form was checked
            messages.error(request, error.message)
            return HttpResponseRedirect(request.get_full_path())

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        """Asks for the reason instead of a bare confirmation."""
        row = self.get_object(request, object_id)
        if row is None:
            raise Http404
        if not self.has_delete_permission(request, row):
            raise PermissionDenied
        form = ReasonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            self.log_deletions(request, self.get_queryset(request).filter(pk=row.pk))
            remove(row, reason=form.cleaned_data["reason"], actor=request.user.get_username())
            messages.success(request, gettext("Taken off the list. The next run follows the rule."))
            back = reverse("admin:segmentation_segment_manual", args=[row.segment_id])
            if not request.user.has_perm("segmentation.view_segment"):
                back = reverse("admin:segmentation_manualmember_changelist")
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Take off the list"),
            "row": row,
            "segment": shown.label(row.segment),
            "form": form,
        }
        return TemplateResponse(request, "admin/remove_manual_member.html", context)

    @admin.display(description=_("segment"))
    def shown_segment(self, row: ManualMember) -> str:
        return shown.label(row.segment)

    @admin.display(description=_("customer"))
    def shown_customer(self, row: ManualMember) -> SafeString:
        return customer_link(row.customer)

    @admin.display(description=_("kind"))
    def shown_kind(self, row: ManualMember) -> SafeString:
        colour = "success" if row.kind == ManualMember.Kind.INCLUDE else "danger"
        return shown.badge(row.get_kind_display(), colour=colour)


@admin.register(Objection)
class ObjectionAdmin(KeysetAdmin):
    """Customers who object to personalised decisions; recorded through the API."""

    list_display = ("serial", "shown_customer", "objected_at")
    list_select_related = ("customer",)
    fields = ("shown_customer", "objected_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Objection]:
        rows = Objection.objects.filter(living("customer__")).select_related("customer")
        return of_visible_customers(rows, user=request.user)

    @admin.display(description=_("customer"))
    def shown_customer(self, row: Objection) -> SafeString:
        return customer_link(row.customer)
