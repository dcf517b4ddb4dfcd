"""Pages of the packages we use, on the theme's base: log-ins, schedules, the click log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from axes.helpers import get_cool_off
from axes.models import AccessAttempt, AccessAttemptExpiration, AccessFailureLog, AccessLog
from cron_descriptor import (
    FormatException,
    MissingFieldException,
    Options,
    WrongArgumentException,
    get_description,
)
from django.apps import apps
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import ADDITION, CHANGE, DELETION, LogEntry
from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext, gettext_noop, ngettext
from django.utils.translation import gettext_lazy as _
from django_celery_beat.admin import ClockedScheduleAdmin as BeatClockedAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as BeatCrontabAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as BeatTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, PeriodicTaskInline, TaskSelectWidget
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    SolarSchedule,
)
from django_otp.plugins.otp_static.models import StaticDevice
from django_otp.plugins.otp_totp.models import TOTPDevice
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from segmentation.admin import shown
from segmentation.admin.base import KeysetAdmin, ListTitle
from segmentation.admin.history import clicked_words
from segmentation.permissions import may_see_hidden, restricted_models, row_scope

from . import clock
from . import staff as staff

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    from unfold.admin import ModelAdmin

_CLICKS = {
    ADDITION: (_("Added"), "success"),
    CHANGE: (_("Changed"), "info"),
    DELETION: (_("Removed"), "danger"),
}


def _again(model: type[Model], page: type[admin.ModelAdmin[Any]]) -> None:
    if admin.site.is_registered(model):
        admin.site.unregister(model)
    admin.site.register(model, page)


class LogEntryPage(KeysetAdmin):
    """Clicks in the admin; those on what a hidden segment can show only with the right."""

    kind_title = _("Clicks")
    list_display = ("action_time", "user", "shown_act", "shown_kind", "object_repr", "shown_change")
    list_display_links = None
    list_filter = ("action_flag", "action_time")
    list_select_related = ("user", "content_type")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LogEntry]:
        entries: QuerySet[LogEntry] = super().get_queryset(request)
        if row_scope(request.user) is not None:  # a click may be on any store's customer
            entries = entries.filter(user=request.user.pk)
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
        return clicked_words(entry)


class AttemptPage(KeysetAdmin):
    """Names and addresses with failed log-ins since the last good one; unlocking forgets them."""

    kind_title = _("Lock-outs")
    list_display = (
        "attempt_time", "username", "ip_address", "failures_since_start", "shown_state",
    )  # fmt: skip
    list_display_links = ("attempt_time",)
    fields = (
        ("username", "ip_address"),
        ("attempt_time", "failures_since_start", "shown_state"),
        "path_info",
        "user_agent",
    )
    actions = ("unlock",)  # type: ignore[assignment]
    nothing_yet = _("Nobody has failed to log in since their last good log-in.")

    def has_unlock_permission(self, request: HttpRequest) -> bool:
        """Who may change staff lets them in again."""
        return request.user.has_perm("auth.change_user")

    @admin.display(description=_("state"))
    def shown_state(self, attempt: AccessAttempt) -> SafeString | str:
        until = attempt.attempt_time + get_cool_off()
        if attempt.failures_since_start < settings.AXES_FAILURE_LIMIT or until <= clock.real_now():
            return shown.EMPTY
        words = gettext("Locked until %(until)s") % {"until": shown.instant(until)}
        return shown.badge(words, colour="danger")

    @admin.action(description=_("Unlock"), permissions=["unlock"])
    def unlock(self, request: HttpRequest, queryset: QuerySet[AccessAttempt]) -> None:
        """Forget the failures of these names at these addresses; written down for each name."""
        rows = list(queryset)
        people = User.objects.in_bulk([row.username for row in rows], field_name="username")
        for row in rows:
            what = gettext_noop("Unlocked after failed log-ins")
            target = people.get(row.username)
            if target is not None:
                self.log_change(request, target, what)
            else:
                self.log_deletions(request, queryset.filter(pk=row.pk))
        AccessAttempt.objects.filter(pk__in=[row.pk for row in rows]).delete()
        text = ngettext(
            "%(count)s log-in is unlocked.", "%(count)s log-ins are unlocked.", len(rows)
        )
        messages.success(request, text % {"count": len(rows)})


class LogInPage(KeysetAdmin):
    kind_title = _("Log-ins")
    list_display = ("attempt_time", "username", "ip_address", "logout_time")
    list_display_links = ("attempt_time",)
    list_filter = ("attempt_time",)
    fields = (("username", "ip_address"), ("attempt_time", "logout_time"), "user_agent")


class FailurePage(KeysetAdmin):
    kind_title = _("Failed log-ins")
    list_display = ("attempt_time", "username", "ip_address", "locked_out")
    list_display_links = ("attempt_time",)
    list_filter = ("locked_out", "attempt_time")
    fields = (("username", "ip_address"), ("attempt_time", "locked_out"), "user_agent")


class BeatTaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):  # type: ignore[misc]
    """The theme's select box with the tasks that are known."""


class BeatTaskForm(PeriodicTaskForm):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["task"].widget = UnfoldAdminTextInputWidget()
        self.fields["regtask"].widget = BeatTaskSelect()


def schedule_words(crontab: CrontabSchedule | None) -> str:
    """A crontab in a sentence, with its zone; the package's own is English in every language."""
    if crontab is None or not crontab.pk:
        return shown.EMPTY
    options = Options()
    options.locale_code = "zh_CN" if (get_language() or "").startswith("zh") else "en_US"
    options.use_24hour_time_format = True
    parts = (
        crontab.minute, crontab.hour, crontab.day_of_month, crontab.month_of_year,
        crontab.day_of_week,
    )  # fmt: skip
    expression = " ".join(str(part).replace(" ", "") for part in parts)
    try:
        words = str(get_description(expression, options))
    except (MissingFieldException, FormatException, WrongArgumentException):
        words = expression
    return f"{words} · {crontab.timezone}"


class BeatTaskPage(ListTitle, BeatTaskAdmin, ModelAdmin):  # type: ignore[misc]
    form = BeatTaskForm
    show_full_result_count = False
    list_display = (
        "shown_name", "enabled", "shown_schedule", "start_time", "last_run_at", "one_off",
    )  # fmt: skip

    @admin.display(description=_("name"), ordering="name")
    def shown_name(self, task: PeriodicTask) -> str:
        """Tasks that the set-up made are stored in English."""
        return gettext(task.name)

    @admin.display(description=_("schedule"))
    def shown_schedule(self, task: PeriodicTask) -> Any:
        return schedule_words(task.crontab) if task.crontab else task.scheduler

    @admin.display(description=_("schedule in words"))
    def crontab_translation(self, task: PeriodicTask) -> str:
        return schedule_words(task.crontab)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if kwargs.get("obj") is not None:
            context["heading"] = context["subtitle"] = self.shown_name(kwargs["obj"])
        found: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return found

    def get_actions(self, request: HttpRequest) -> Any:
        """The package lets whoever sees a schedule switch it off and run it."""
        return super().get_actions(request) if self.has_change_permission(request) else {}


class BeatTasksInline(PeriodicTaskInline):  # type: ignore[misc]
    """Tasks of a schedule, with words that the package leaves in English."""

    fields = readonly_fields = ("shown_name", "shown_task", "args", "kwargs")
    hide_title = True

    @admin.display(description=_("name"))
    def shown_name(self, task: PeriodicTask) -> SafeString:
        address = "django_celery_beat_periodictask_change"
        return shown.link(address, args=[task.pk], text=gettext(task.name))

    @admin.display(description=_("task"))
    def shown_task(self, task: PeriodicTask) -> str:
        return str(task.task)


class CrontabPage(ListTitle, BeatCrontabAdmin, ModelAdmin):  # type: ignore[misc]
    show_full_result_count = False
    inlines = (BeatTasksInline,)
    list_display = ("__str__", "shown_words")
    fields = (
        "shown_words", "minute", "hour", "day_of_month", "month_of_year", "day_of_week", "timezone",
    )  # fmt: skip
    readonly_fields = ("shown_words",)

    @admin.display(description=_("schedule in words"))
    def shown_words(self, crontab: CrontabSchedule) -> str:
        return schedule_words(crontab)


class ClockedPage(ListTitle, BeatClockedAdmin, ModelAdmin):  # type: ignore[misc]
    show_full_result_count = False
    inlines = (BeatTasksInline,)


class SchedulePage(ListTitle, ModelAdmin):
    show_full_result_count = False


for model, page in {
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
# A second factor is set up by its owner and reset on the person's page; secrets have no pages.
for model in (AccessAttemptExpiration, TOTPDevice, StaticDevice):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
apps.get_app_config("axes").verbose_name = _("Log-ins")
