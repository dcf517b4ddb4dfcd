"""Channels of alerts: mailboxes, webhooks, robots of groups. Secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from config import clock
from membership.models import AlertChannel
from membership.services.alert_delivery import send_test
from membership.services.alert_http import Undeliverable
from membership.services.alert_settings import ChannelSettings, save_channel
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, KeysetAdmin
from segmentation.domain.errors import TierwiseError
from segmentation.services.jobs import new_key
from segmentation.services.wording import listed

from . import alert_words
from .alert_rules import add_problems
from .alerts import OfAllStores

ADD = "membership.add_alertchannel"
CHANGE = "membership.change_alertchannel"
_EMAIL = AlertChannel.Kind.EMAIL


class ChannelForm(forms.Form):
    """A channel. Of an existing one the kind stays; what is left empty of its secrets stays too."""

    name = forms.CharField(label=_("Name"), max_length=100, widget=UnfoldAdminTextInputWidget)
    kind = forms.ChoiceField(
        label=_("Kind"), choices=AlertChannel.Kind.choices, widget=UnfoldAdminSelectWidget
    )
    address = forms.CharField(
        label=_("Address"),
        max_length=4000,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autocomplete": "off"}),
        help_text=_(
            "The robot's or webhook's address, https://…; of e-mail: one address on each line."
        ),
    )
    secret = forms.CharField(
        label=_("Signing secret"),
        max_length=200,
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=_("DingTalk, Feishu and webhooks sign with it; WeCom and e-mail need none."),
    )
    forget_secret = forms.BooleanField(
        label=_("Remove the secret"), required=False, widget=UnfoldBooleanSwitchWidget
    )
    language = forms.ChoiceField(
        label=_("Language"), choices=settings.LANGUAGES, widget=UnfoldAdminSelectWidget
    )
    is_enabled = forms.BooleanField(
        label=_("In use"), required=False, widget=UnfoldBooleanSwitchWidget
    )

    def __init__(self, *args: Any, channel: AlertChannel | None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._channel = channel
        if channel is None or not channel.secret:
            del self.fields["forget_secret"]
        if channel is None:
            return
        del self.fields["kind"]
        if channel.kind == _EMAIL:
            del self.fields["secret"]
            return
        self.fields["address"].required = False
        self.fields["address"].help_text = _(
            "Now %(target)s; it is not shown again. Empty: stays as it is."
        ) % {"target": channel.target}
        if channel.secret:
            self.fields["secret"].help_text = _("It is not shown again. Empty: stays as it is.")

    def settings(self) -> ChannelSettings:
        """What the valid form says."""
        given = self.cleaned_data
        secret = given.get("secret") or None
        if given.get("forget_secret"):
            secret = ""
        return ChannelSettings(
            name=given["name"],
            kind=self._channel.kind if self._channel else given["kind"],
            address=given["address"] or None,
            secret=secret,
            language=given["language"],
            is_enabled=given["is_enabled"],
        )


@admin.register(AlertChannel)
class AlertChannelAdmin(OfAllStores, KeysetAdmin):
    """Where alerts are sent to; switched off, never removed, so that messages stay explained."""

    keyset = "pk"
    list_display = (
        "name", "kind", "target", "language", "shown_state", "shown_rules",
    )  # fmt: skip
    fields = (
        ("name", "kind"),
        ("target", "shown_secret"),
        ("language", "shown_state"),
        "shown_rules",
    )
    nothing_yet = _("No channel yet: alerts show on screens only.")
    change_list_template = "admin/alerts/channel_list.html"
    change_form_outer_after_template = "admin/alerts/channel.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertChannel]:
        rows: QuerySet[AlertChannel] = super().get_queryset(request)
        return rows.prefetch_related("rules").defer("address", "secret")

    def may_change(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and request.user.has_perm(CHANGE)

    def heading(self, row: Any) -> str:
        return str(row.name)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("new/", view(self.new_view), name="membership_alertchannel_new"),
            path("<int:number>/edit/", view(self.edit_view), name="membership_alertchannel_edit"),
            path("<int:number>/test/", view(self.test_view), name="membership_alertchannel_test"),
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        may_add = self.has_view_permission(request) and request.user.has_perm(ADD)
        return super().changelist_view(
            request, {**(extra_context or {}), "may_add_channel": may_add}
        )

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        row = self.get_object(request, object_id or "")
        context = dict(extra_context or {})
        if row is not None and self.may_change(request):
            for name in ("edit", "test"):
                address = reverse(f"admin:membership_alertchannel_{name}", args=[row.pk])
                context[f"{name}_url"] = address
        return super().changeform_view(request, object_id, form_url, context)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not (self.has_view_permission(request) and request.user.has_perm(ADD)):
            raise PermissionDenied
        return self._form_page(request, channel=None)

    def edit_view(self, request: HttpRequest, number: int) -> HttpResponse:
        if not self.may_change(request):
            raise PermissionDenied
        return self._form_page(request, channel=self._channel(number))

    def _form_page(self, request: HttpRequest, *, channel: AlertChannel | None) -> HttpResponse:
        form = ChannelForm(request.POST or None, channel=channel, initial=_initial(channel))
        if request.method == "POST" and form.is_valid():
            try:
                pk = save_channel(channel, form.settings(), now=clock.real_now())
            except TierwiseError as error:
                add_problems(form, error)
            else:
                messages.success(request, gettext("The channel is saved. Send a test message."))
                return HttpResponseRedirect(
                    reverse("admin:membership_alertchannel_change", args=[pk])
                )
        page = reverse("admin:membership_alertchannel_changelist")
        if channel is not None:
            page = reverse("admin:membership_alertchannel_change", args=[channel.pk])
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": channel.name if channel else gettext("New alert channel"),
            "intro": gettext(
                "Messages say what is wrong, with a run's number and counts, and never name a "
                "segment. Whoever reads the channel needs no rights here."
            ),
            "form": form,
            "back_url": page,
        }
        return TemplateResponse(request, "admin/alerts/form.html", context)

    def test_view(self, request: HttpRequest, number: int) -> HttpResponse:
        """Sends a message at once and says what came of it; takes some seconds at most."""
        if not self.may_change(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        channel = self._channel(number)
        try:
            send_test(channel, now=clock.real_now(), key=new_key())
        except Undeliverable as error:
            words = alert_words.error_words(f"{error.code} {error.details}".strip())
            text = gettext("The test message was not taken: %(error)s") % {"error": words}
            messages.error(request, text)
        else:
            messages.success(request, gettext("The test message was taken."))
        return HttpResponseRedirect(reverse("admin:membership_alertchannel_change", args=[number]))

    def _channel(self, number: int) -> AlertChannel:
        channel = AlertChannel.objects.filter(pk=number).first()
        if channel is None:
            raise Http404
        return channel

    @admin.display(description=_("state"))
    def shown_state(self, channel: AlertChannel) -> SafeString:
        if channel.is_enabled:
            return shown.badge(_("In use"), colour="success")
        return shown.badge(_("Off"), colour="default")

    @admin.display(description=_("signing secret"))
    def shown_secret(self, channel: AlertChannel) -> str:
        if channel.secret_set_at is None:
            return gettext("none")
        return gettext("set at %(at)s") % {"at": shown.instant(channel.secret_set_at)}

    @admin.display(description=_("rules"))
    def shown_rules(self, channel: AlertChannel) -> str:
        return listed([rule.get_kind_display() for rule in channel.rules.all()]) or EMPTY


def _initial(channel: AlertChannel | None) -> dict[str, Any]:
    if channel is None:
        return {"kind": AlertChannel.Kind.WECOM, "language": "zh-hans", "is_enabled": True}
    found = {
        "name": channel.name,
        "language": channel.language,
        "is_enabled": channel.is_enabled,
    }
    return {**found, "address": channel.address} if channel.kind == _EMAIL else found
