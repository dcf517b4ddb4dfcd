"""Rules of alerts: what is watched, from when on, who answers for it, who is told when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from membership.domain.alerts import THRESHOLDS, thresholds_of
from membership.models import AlertChannel, AlertRule
from membership.services.alert_settings import RuleSettings, save_rule
from membership.services.alert_words import THRESHOLD_WORDS, advice
from segmentation.admin import shown
from segmentation.admin.base import EMPTY, KeysetAdmin
from segmentation.admin.history import Source, add_history, event_source
from segmentation.admin.object_histories import events
from segmentation.domain.errors import TierwiseError
from segmentation.services.wording import listed

from . import alert_words
from .alerts import OfAllStores

CHANGE = "membership.change_alertrule"
VIEW_CHANNEL = "membership.view_alertchannel"
_THRESHOLD = "threshold_"


class TimeInput(UnfoldAdminTextInputWidget):  # type: ignore[misc]
    """The browser's own clock."""

    input_type = "time"


class PersonChoice(forms.ModelChoiceField[User]):
    def label_from_instance(self, obj: Any) -> str:
        name = obj.get_full_name()
        return f"{obj.get_username()} ({name})" if name else obj.get_username()


class RuleForm(forms.Form):
    """A rule's settings; the thresholds are those of its kind."""

    is_enabled = forms.BooleanField(
        label=_("In use"), required=False, widget=UnfoldBooleanSwitchWidget
    )
    severity = forms.ChoiceField(
        label=_("Severity"),
        choices=AlertRule.Severity.choices,
        widget=UnfoldAdminSelectWidget,
        help_text=_("Critical alerts are sent in quiet hours as well."),
    )
    owner = PersonChoice(
        label=_("Owner"),
        queryset=User.objects.none(),
        required=False,
        widget=UnfoldAdminSelectWidget,
        help_text=_("Finds these alerts under “Mine”."),
    )
    quiet_from = forms.TimeField(label=_("Quiet from"), required=False, widget=TimeInput)
    quiet_until = forms.TimeField(
        label=_("Quiet until"),
        required=False,
        widget=TimeInput,
        help_text=_("Messages wait until the quiet hours end; alerts show here at once."),
    )
    remind_hours = forms.IntegerField(
        label=_("Remind after hours"),
        min_value=0,
        max_value=720,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text=_("Again and again while nobody has acknowledged the alert; 0: never."),
    )
    channels = forms.ModelMultipleChoiceField(
        label=_("Channels"),
        queryset=AlertChannel.objects.none(),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=_("None: alerts show on screens only."),
    )

    def __init__(self, *args: Any, rule: AlertRule, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        may_own = Q(is_active=True, is_staff=True) | Q(pk=rule.owner_id or 0)
        people = User.objects.filter(may_own).order_by("username")
        owner, channels = self.fields["owner"], self.fields["channels"]
        owner.queryset = people  # type: ignore[attr-defined]
        channels.queryset = AlertChannel.objects.order_by("name")  # type: ignore[attr-defined]
        for name, threshold in THRESHOLDS[rule.kind].items():
            words = str(THRESHOLD_WORDS[rule.kind, name])
            self.fields[_THRESHOLD + name] = forms.IntegerField(
                label=words[:1].upper() + words[1:],
                min_value=threshold.least,
                max_value=threshold.most,
                widget=UnfoldAdminIntegerFieldWidget,
                help_text=gettext("Unless changed: %(default)s.")
                % {"default": f"{threshold.default:,}"},
            )
        first = [name for name in self.fields if name.startswith(_THRESHOLD)]
        self.order_fields(["is_enabled", *first])

    def settings(self) -> RuleSettings:
        """What the valid form says."""
        given = self.cleaned_data
        return RuleSettings(
            is_enabled=given["is_enabled"],
            severity=given["severity"],
            thresholds={
                name.removeprefix(_THRESHOLD): number
                for name, number in given.items()
                if name.startswith(_THRESHOLD)
            },
            owner=given["owner"],
            quiet_from=given["quiet_from"],
            quiet_until=given["quiet_until"],
            remind_hours=given["remind_hours"],
            channels=list(given["channels"]),
        )


@add_history(AlertRule)
def rule_sources(rule: AlertRule, *, user: Any) -> Iterable[Source]:
    """Channels that were added to a rule and taken from it."""
    routes = events("AlertRouteEvent", app="membership")
    yield event_source(routes, user=user, rule_id=rule.pk)


def add_problems(form: forms.Form, error: TierwiseError) -> None:
    """What a service refused, beside the fields it is about."""
    for problem in error.problems:
        name = problem.path.strip("/").replace("thresholds/", _THRESHOLD)
        form.add_error(name if name in form.fields else None, problem.message)
    if not error.problems:
        form.add_error(None, error.message)


@admin.register(AlertRule)
class AlertRuleAdmin(OfAllStores, KeysetAdmin):
    """One rule for each kind; changed, never added or removed."""

    keyset = "pk"
    list_display = (
        "shown_kind", "shown_state", "shown_severity", "shown_thresholds", "shown_owner",
        "shown_quiet", "shown_channels", "shown_checked",
    )  # fmt: skip
    list_display_links = ("shown_kind",)
    list_filter = ("is_enabled", "severity")
    fields = (
        ("shown_kind", "shown_state"),
        "shown_advice",
        ("shown_severity", "shown_owner"),
        ("shown_thresholds", "shown_channels"),
        ("shown_quiet", "shown_reminder"),
        "shown_checked",
    )
    change_form_outer_after_template = "admin/alerts/edit_button.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[AlertRule]:
        rows: QuerySet[AlertRule] = super().get_queryset(request)
        return rows.select_related("owner").prefetch_related("channels")

    def may_change(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request) and request.user.has_perm(CHANGE)

    def heading(self, row: Any) -> str:
        return str(row.get_kind_display())

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.edit_view)
        own = path("<int:number>/edit/", view, name="membership_alertrule_edit")
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
        if row is not None and self.may_change(request):
            context["edit_url"] = reverse("admin:membership_alertrule_edit", args=[row.pk])
        return super().changeform_view(request, object_id, form_url, context)

    def edit_view(self, request: HttpRequest, number: int) -> HttpResponse:
        if not self.may_change(request):
            raise PermissionDenied
        rule = self.get_queryset(request).filter(pk=number).first()
        if rule is None:
            raise Http404
        page = reverse("admin:membership_alertrule_change", args=[rule.pk])
        form = RuleForm(request.POST or None, rule=rule, initial=_initial(rule))
        if request.method == "POST" and form.is_valid():
            try:
                save_rule(rule, form.settings())
            except TierwiseError as error:
                add_problems(form, error)
            else:
                messages.success(request, gettext("The rule is changed."))
                return HttpResponseRedirect(page)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": self.heading(rule),
            "intro": advice(rule.kind),
            "form": form,
            "back_url": page,
        }
        return TemplateResponse(request, "admin/alerts/form.html", context)

    @admin.display(description=_("kind"))
    def shown_kind(self, rule: AlertRule) -> str:
        return rule.get_kind_display()

    @admin.display(description=_("state"))
    def shown_state(self, rule: AlertRule) -> SafeString:
        if not rule.is_enabled:
            return shown.badge(_("Off"), colour="default")
        if rule.fault:
            return shown.badge(_("Could not be checked"), colour="danger")
        return shown.badge(_("In use"), colour="success")

    @admin.display(description=_("what to do"))
    def shown_advice(self, rule: AlertRule) -> str:
        return advice(rule.kind)

    @admin.display(description=_("severity"))
    def shown_severity(self, rule: AlertRule) -> SafeString:
        return alert_words.severity_badge(rule)

    @admin.display(description=_("thresholds"))
    def shown_thresholds(self, rule: AlertRule) -> str:
        numbers = thresholds_of(rule.kind, rule.thresholds)
        words = [f"{THRESHOLD_WORDS[rule.kind, name]}: {numbers[name]:,}" for name in numbers]
        return " · ".join(words) or EMPTY

    @admin.display(description=_("owner"))
    def shown_owner(self, rule: AlertRule) -> str:
        return rule.owner.get_username() if rule.owner else EMPTY

    @admin.display(description=_("quiet hours"))
    def shown_quiet(self, rule: AlertRule) -> str:
        if rule.quiet_from is None or rule.quiet_until is None:
            return EMPTY
        return f"{rule.quiet_from:%H:%M}–{rule.quiet_until:%H:%M}"

    @admin.display(description=_("remind after hours"))
    def shown_reminder(self, rule: AlertRule) -> str:
        return shown.count(rule.remind_hours) if rule.remind_hours else gettext("never")

    @admin.display(description=_("channels"))
    def shown_channels(self, rule: AlertRule) -> str:
        return listed([channel.name for channel in rule.channels.all()]) or gettext("screens only")

    @admin.display(description=_("last checked at"))
    def shown_checked(self, rule: AlertRule) -> str:
        checked = shown.instant(rule.checked_at) if rule.checked_at else gettext("never")
        return f"{checked} · {rule.fault}" if rule.fault else checked


def _initial(rule: AlertRule) -> dict[str, Any]:
    return {
        **{
            _THRESHOLD + name: number
            for name, number in thresholds_of(rule.kind, rule.thresholds).items()
        },
        "is_enabled": rule.is_enabled,
        "severity": rule.severity,
        "owner": rule.owner_id,
        "quiet_from": f"{rule.quiet_from:%H:%M}" if rule.quiet_from else "",
        "quiet_until": f"{rule.quiet_until:%H:%M}" if rule.quiet_until else "",
        "remind_hours": rule.remind_hours,
        "channels": [channel.pk for channel in rule.channels.all()],
    }
