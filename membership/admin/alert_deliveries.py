"""Messages about alerts: whom they went to, what went wrong, and sending them again."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from config import clock
from membership.models import AlertDelivery
from membership.services.alert_delivery import send_again
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, KeysetAdmin

from . import alert_words
from .alerts import MOST_AT_ONCE, OfAllStores

RESEND = "membership.resend_alertdelivery"


@admin.register(AlertDelivery)
class AlertDeliveryAdmin(OfAllStores, KeysetAdmin):
    """Messages to channels, with what went wrong; one that was given up can be sent again."""

    list_display = (
        "serial", "shown_alert", "event", "shown_channel", "shown_state", "shown_due", "attempts",
        "shown_error",
    )  # fmt: skip
    list_filter = ("state", "channel")
    actions = ("resend_chosen",)  # type: ignore[assignment]
    list_select_related = ("alert__rule", "channel")
    fields = (
        ("shown_alert", "event"),
        ("shown_channel", "shown_state"),
        ("shown_created", "shown_sent"),
        ("attempts", "shown_due"),
        "shown_error",
    )
    change_form_outer_after_template = "admin/alerts/delivery.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertDelivery]:
        rows: QuerySet[AlertDelivery] = super().get_queryset(request)
        return rows.select_related("alert__rule", "channel")

    def has_resend_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and request.user.has_perm(RESEND)

    def heading(self, row: Any) -> str:
        return f"{row.get_event_display()} · {row.channel.name}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.resend_view)
        own = path("<int:number>/resend/", view, name="membership_alertdelivery_resend")
        return [own, *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id or "")
        context = dict(extra_context or {})
        open_states = (AlertDelivery.State.FAILED, AlertDelivery.State.WAITING)
        if row is not None and row.state in open_states and self.has_resend_permission(request):
            address = reverse("admin:membership_alertdelivery_resend", args=[row.pk])
            context["resend_url"] = address
        return super().changeform_view(request, object_id, form_url, context)

    @admin.action(description=_("Send again"), permissions=["resend"])
    def resend_chosen(self, request: HttpRequest, queryset: QuerySet[AlertDelivery]) -> None:
        """After a robot was away for days: everything that was given up, at once."""
        pks = queryset.filter(state=AlertDelivery.State.FAILED).values_list("pk", flat=True)
        now = clock.real_now()
        count = sum(send_again(pk, now=now) for pk in pks[:MOST_AT_ONCE])
        text = ngettext(
            "%(count)s message goes out within a minute, unless it is not needed any more.",
            "%(count)s messages go out within a minute, unless they are not needed any more.",
            count,
        )
        messages.success(request, text % {"count": count})

    def resend_view(self, request: HttpRequest, number: int) -> HttpResponse:
        if not self.has_resend_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if send_again(number, now=clock.real_now()):
            text = gettext(
                "The message goes out within a minute, unless it is not needed any more."
            )
            messages.success(request, text)
        else:
            messages.info(request, gettext("This message needs no sending."))
        return HttpResponseRedirect(reverse("admin:membership_alertdelivery_change", args=[number]))

    @admin.display(description=_("alert"))
    def shown_alert(self, row: AlertDelivery) -> SafeString:
        text = format_html("{} · {}", row.alert.rule.get_kind_display(), row.alert_id)
        return shown.link("membership_alert_change", args=[row.alert_id], text=text)

    @admin.display(description=_("channel"))
    def shown_channel(self, row: AlertDelivery) -> str:
        return row.channel.name

    @admin.display(description=_("state"))
    def shown_state(self, row: AlertDelivery) -> SafeString:
        return alert_words.delivery_badge(row)

    @admin.display(description=_("created at"))
    def shown_created(self, row: AlertDelivery) -> str:
        return shown.instant(row.created_at)

    @admin.display(description=_("sent at"))
    def shown_sent(self, row: AlertDelivery) -> str:
        return shown.instant(row.sent_at)

    @admin.display(description=_("next attempt at"))
    def shown_due(self, row: AlertDelivery) -> str:
        is_waiting = row.state == AlertDelivery.State.WAITING
        return shown.instant(row.not_before) if is_waiting else EMPTY

    @admin.display(description=_("last error"))
    def shown_error(self, row: AlertDelivery) -> str:
        return alert_words.error_words(row.last_error)
