"""Pages of the packages we use, on the theme's base: staff, log-ins, schedules, the click log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.models import AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db.models import ManyToManyField, Model, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from segmentation.admin import shown
from segmentation.admin.base import KeysetAdmin, TierwiseAdmin
from segmentation.permissions import may_see_hidden, restricted_models

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin

_ACTS = {
    "add": _("Can add: %(what)s"),
    "change": _("Can change: %(what)s"),
    "delete": _("Can delete: %(what)s"),
    "view": _("Can view: %(what)s"),
}
_CLICKS = {
    ADDITION: (_("Added"), "success"),
    CHANGE: (_("Changed"), "info"),
    DELETION: (_("Removed"), "danger"),
}


def permission_words(permission: Permission) -> str:
    """A permission's name in the language of the request; the database stores only English."""
    kind = permission.content_type
    act, _underscore, model = permission.codename.partition("_")
    if act in _ACTS and model == kind.model:
        found = kind.model_class()
        what = found._meta.verbose_name if found else kind.model
        words = str(_ACTS[act]) % {"what": what}
    else:
        words = gettext(permission.name)
    return f"{kind.app_labeled_name.split(' | ')[0]} · {capfirst(words)}"


class _PermissionChoices:
    """Offers permissions with translated names, read with one query."""

    def formfield_for_manytomany(
        self, db_field: ManyToManyField[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> Any:
        field = super().formfield_for_manytomany(db_field, request, **kwargs)  # type: ignore[misc]
        if field is not None and field.queryset.model is Permission:
            field.queryset = field.queryset.select_related("content_type")
            field.label_from_instance = permission_words
        return field


def _again(model: type[Model], page: type[admin.ModelAdmin[Any]]) -> None:
    if admin.site.is_registered(model):
        admin.site.unregister(model)
    admin.site.register(model, page)


class UserPage(_PermissionChoices, DjangoUserAdmin, ModelAdmin):  # type: ignore[type-arg]
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_full_result_count = False


class GroupPage(_PermissionChoices, DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]
    show_full_result_count = False


class LogEntryPage(KeysetAdmin):
    """Clicks in the admin; those on what a hidden segment can show only with the right."""

    list_display = ("action_time", "user", "shown_act", "shown_kind", "object_repr", "shown_change")
    list_display_links = None
    list_filter = ("action_flag", "action_time")
    list_select_related = ("user", "content_type")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogEntry]:
        entries = super().get_queryset(request)
        if may_see_hidden(request.user):
            return entries
        kinds = ContentType.objects.get_for_models(*restricted_models()).values()
        return entries.exclude(content_type__in=list(kinds))

    @admin.display(description=_("act"))
    def shown_act(self, entry: LogEntry) -> SafeString:
        words, colour = _CLICKS.get(entry.action_flag, (entry.action_flag, "default"))
        return shown.badge(words, colour=colour)

    @admin.display(description=_("kind"))
    def shown_kind(self, entry: LogEntry) -> str:
        model = entry.content_type.model_class() if entry.content_type else None
        return str(capfirst(model._meta.verbose_name)) if model else shown.EMPTY

    @admin.display(description=_("change"))
    def shown_change(self, entry: LogEntry) -> str:
        return entry.get_change_message() or shown.EMPTY


class AttemptPage(KeysetAdmin):
    """Failed log-ins; deleting a row lets its user try again at once."""

    list_display = ("attempt_time", "username", "ip_address", "failures_since_start", "path_info")
    fields = (
        ("username", "ip_address"),
        ("attempt_time", "failures_since_start"),
        "path_info",
        "user_agent",
    )

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return TierwiseAdmin.has_delete_permission(self, request, obj)


class LogInPage(KeysetAdmin):
    list_display = ("attempt_time", "username", "ip_address", "logout_time")
    fields = (("username", "ip_address"), ("attempt_time", "logout_time"), "user_agent")


class FailurePage(KeysetAdmin):
    list_display = ("attempt_time", "username", "ip_address", "locked_out")
    fields = (("username", "ip_address"), ("attempt_time", "locked_out"), "user_agent")


class BeatTaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]
    """The theme's select box with the tasks that are known."""


class BeatTaskForm(PeriodicTaskForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = BeatTaskSelect()


class BeatTaskPage(BeatTaskAdmin, ModelAdmin):  # type: ignore[misc]
    form = BeatTaskForm
    show_full_result_count = False


class CrontabPage(BeatCrontabAdmin, ModelAdmin):  # type: ignore[misc]
    show_full_result_count = False


class ClockedPage(BeatClockedAdmin, ModelAdmin):  # type: ignore[misc]
    show_full_result_count = False


class SchedulePage(ModelAdmin):
    show_full_result_count = False


for model, page in {
    User: UserPage,
    Group: GroupPage,
    LogEntry: LogEntryPage,
    AccessAttempt: AttemptPage,
    AccessLog: LogInPage,
    AccessFailureLog: FailurePage,
    PeriodicTask: BeatTaskPage,
    CrontabSchedule: CrontabPage,
    ClockedSchedule: ClockedPage,
    IntervalSchedule: SchedulePage,
    SolarSchedule: SchedulePage,
}.items():
    _again(model, page)
# Nobody can enrol a second factor yet: their pages come with enrolment.
for model in (AccessAttemptExpiration, TOTPDevice, StaticDevice):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
apps.get_app_config("axes").verbose_name = _("Log-ins")
