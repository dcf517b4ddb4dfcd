"""Alerts: what is wrong, who takes care of it, and whom it was told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextareaWidget

from config import clock
from membership.models import Alert, AlertKind
from membership.services.alert_words import advice, sentence
from membership.services.alerting import acknowledge, may_see_alerts
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, KeysetAdmin
from segmentation.domain.row_numbers import row_number
from segmentation.permissions import row_scope

from . import alert_words

ACKNOWLEDGE = "membership.acknowledge_alert"
MOST_AT_ONCE = 100


class OfAllStores:
    """Pages of alerts: for nobody who is confined to the customers of some stores."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed: bool = super().has_view_permission(request, obj)  # type: ignore[misc]
        return allowed and row_scope(request.user) is None


class StateFilter(admin.SimpleListFilter):
    """What is not over by default."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [*Alert.State.choices, ("all", _("All"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        match self.value():
            case "all":
                return queryset
            case str(state) if state in Alert.State.values:
                return queryset.filter(state=state)
        return queryset.exclude(state=Alert.State.RESOLVED)

    def choices(self, changelist: Any) -> Any:
        first, *others = super().choices(changelist)
        yield {**first, "display": _("Not resolved")}
        yield from others


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(AlertKind.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(rule__kind=self.value()) if self.value() else queryset


class MineFilter(admin.SimpleListFilter):
    """Those of rules that I own."""

    title = _("whose")
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("mine", _("Mine"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(rule__owner=request.user.pk) if self.value() else queryset


class AcknowledgeForm(forms.Form):
    """What the person who takes care wants the others to know."""

    ids = forms.CharField(widget=forms.HiddenInput, max_length=2000)
    note = forms.CharField(
        label=_("Note"),
        required=False,
        max_length=1000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
        help_text=_("What you found or will do; everybody who sees the alert reads it."),
    )


@admin.register(Alert)
class AlertAdmin(OfAllStores, KeysetAdmin):
    """What is wrong now and was before. The watch opens and resolves alerts; people take care."""

    list_display = (
        "serial", "shown_kind", "shown_severity", "shown_sentence", "shown_state", "shown_opened",
        "shown_owner",
    )  # fmt: skip
    list_display_links = ("serial", "shown_kind")
    list_filter = (StateFilter, KindFilter, MineFilter)
    list_select_related = ("rule__owner",)
    actions = ("acknowledge_chosen",)  # type: ignore[assignment]
    nothing_yet = _("Nothing is wrong.")
    change_form_outer_after_template = "admin/alerts/alert.html"
    fields = (
        "shown_sentence",
        ("shown_state", "shown_severity"),
        ("shown_opened", "shown_seen"),
        ("shown_about", "shown_owner"),
        ("shown_acknowledged", "shown_resolved"),
        "shown_note",
    )

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_see_alerts(request.user)

    def has_acknowledge_permission(self, request: HttpRequest) -> bool:
        return may_see_alerts(request.user) and request.user.has_perm(ACKNOWLEDGE)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alert]:
        rows: QuerySet[Alert] = super().get_queryset(request)
        return rows.select_related("rule__owner")

    def heading(self, row: Any) -> str:
        return f"{row.rule.get_kind_display()} · {row.pk}"

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.acknowledge_view)
        own = path("acknowledge/", view, name="membership_alert_acknowledge")
        return [own, *super().get_urls()]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        alert = self.get_object(request, object_id or "")
        context = dict(extra_context or {})
        if alert is not None:
            alert.viewer = request.user
            may_acknowledge = self.has_acknowledge_permission(request)
            context |= {
                "advice": advice(alert.rule.kind) if alert.state != Alert.State.RESOLVED else "",
                "acknowledge_url": _acknowledge_url([alert.pk])
                if alert.state == Alert.State.OPEN and may_acknowledge
                else "",
                "panels": [_deliveries(alert, user=request.user)],
            }
        return super().changeform_view(request, object_id, form_url, context)

    @admin.action(description=_("Acknowledge"), permissions=["acknowledge"])
    def acknowledge_chosen(
        self, request: HttpRequest, queryset: QuerySet[Alert]
    ) -> HttpResponse | None:
        rows = queryset.filter(state=Alert.State.OPEN).order_by("-pk")
        chosen = list(rows.values_list("pk", flat=True)[:MOST_AT_ONCE])
        if not chosen:
            messages.info(request, gettext("None of these is open."))
            return None
        return HttpResponseRedirect(_acknowledge_url(chosen))

    def acknowledge_view(self, request: HttpRequest) -> HttpResponse:
        """Shows what is to be acknowledged and asks for a note."""
        if not self.has_acknowledge_permission(request):
            raise PermissionDenied
        back = reverse("admin:membership_alert_changelist")
        asked = request.POST if request.method == "POST" else request.GET
        numbers = [row_number(text) for text in asked.get("ids", "").split(",")[:MOST_AT_ONCE]]
        pks = [number for number in numbers if number is not None]
        rows = self.get_queryset(request).filter(pk__in=pks, state=Alert.State.OPEN)
        chosen = list(rows.order_by("-pk"))
        if not chosen:
            messages.info(request, gettext("None of these is open."))
            return HttpResponseRedirect(back)
        ids = ",".join(str(alert.pk) for alert in chosen)
        form = AcknowledgeForm(request.POST or None, initial={"ids": ids})
        if request.method == "POST" and form.is_valid():
            count = acknowledge(
                [alert.pk for alert in chosen],
                actor=request.user.get_username(),
                note=form.cleaned_data["note"],
                now=clock.real_now(),
            )
            text = ngettext(
                "%(count)s alert is acknowledged.", "%(count)s alerts are acknowledged.", count
            )
            messages.success(request, text % {"count": count})
            if len(chosen) == 1:
                back = reverse("admin:membership_alert_change", args=[chosen[0].pk])
            return HttpResponseRedirect(back)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": gettext("Acknowledge"),
            "sentences": [(alert.rule.get_kind_display(), sentence(alert)) for alert in chosen],
            "form": form,
        }
        return TemplateResponse(request, "admin/alerts/acknowledge.html", context)

    @admin.display(description=_("kind"))
    def shown_kind(self, alert: Alert) -> str:
        return alert.rule.get_kind_display()

    @admin.display(description=_("severity"))
    def shown_severity(self, alert: Alert) -> SafeString:
        return alert_words.severity_badge(alert.rule)

    @admin.display(description=_("what is wrong"))
    def shown_sentence(self, alert: Alert) -> str:
        return sentence(alert)

    @admin.display(description=_("state"))
    def shown_state(self, alert: Alert) -> SafeString:
        return alert_words.state_badge(alert)

    @admin.display(description=_("since"))
    def shown_opened(self, alert: Alert) -> str:
        return shown.instant(alert.opened_at)

    @admin.display(description=_("last seen at"))
    def shown_seen(self, alert: Alert) -> str:
        return shown.instant(alert.last_seen_at)

    @admin.display(description=_("owner"))
    def shown_owner(self, alert: Alert) -> str:
        owner = alert.rule.owner
        return owner.get_username() if owner else EMPTY

    @admin.display(description=_("about"))
    def shown_about(self, alert: Any) -> SafeString | str:
        found = alert_words.about_link(alert, user=alert.viewer)
        return EMPTY if found is None else shown.address_link(found[0], text=found[1])

    @admin.display(description=_("acknowledged"))
    def shown_acknowledged(self, alert: Alert) -> str:
        if alert.acknowledged_at is None:
            return EMPTY
        return f"{shown.instant(alert.acknowledged_at)} · {alert.acknowledged_by}"

    @admin.display(description=_("resolved at"))
    def shown_resolved(self, alert: Alert) -> str:
        return shown.instant(alert.resolved_at)

    @admin.display(description=_("note"))
    def shown_note(self, alert: Alert) -> str:
        return alert.note or EMPTY


def _acknowledge_url(pks: Sequence[int]) -> str:
    ids = ",".join(str(pk) for pk in pks)
    return f"{reverse('admin:membership_alert_acknowledge')}?ids={ids}"


def _deliveries(alert: Alert, *, user: Any) -> shown.Table:
    """Whom it was told, and when."""
    may_open = user.has_perm("membership.view_alertdelivery")
    rows = [
        (
            shown.link(
                "membership_alertdelivery_change", args=[row.pk], text=row.get_event_display()
            )
            if may_open
            else row.get_event_display(),
            row.channel.name,
            alert_words.delivery_badge(row),
            shown.instant(row.sent_at or row.not_before),
            alert_words.error_words(row.last_error),
        )
        for row in alert.deliveries.select_related("channel").order_by("-pk")[:50]
    ]
    return shown.Table(
        _("Messages"),
        (_("occasion"), _("channel"), _("state"), _("sent or due at"), _("last error")),
        rows,
        empty=_("This alert shows here only: its rule has no channel."),
    )
